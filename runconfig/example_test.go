package runconfig_test

import (
	"errors"
	"fmt"

	"github.com/runnerml/runner/runconfig"
)

func ExampleParse() {
	spec := []byte("script: train.py\nresources: {memory: 4GiB}\nmax_run_duration: 1d12h\n")
	c, err := runconfig.Parse("job.yaml", spec, []string{"resources.gpus=1", "tags.team=vision"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.ComputeTarget, c.Resources.Memory, c.Resources.GPUs, c.MaxRunDuration, c.Tags)
	fmt.Printf("%q\n", c.CommandLine("python3", nil))
	// Output:
	// local 4GiB 1 1d12h map[team:vision]
	// ["python3" "train.py"]
}

func ExampleSpecError() {
	_, err := runconfig.Parse("job.yaml", []byte("script: train.py\nresources: {memroy: 4GiB, gpus: -1}\n"), nil)
	var wrong *runconfig.SpecError
	if errors.As(err, &wrong) {
		for _, p := range wrong.Problems {
			fmt.Println("error:", p)
			if p.Hint != "" {
				fmt.Println("hint:", p.Hint)
			}
		}
	}
	// Output:
	// error: unknown field "memroy": job.yaml:2:13
	// hint: did you mean "memory"?
	// error: resources.gpus must be between 0 and 1000, not -1: job.yaml:2:33
}
