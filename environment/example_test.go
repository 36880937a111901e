package environment_test

import (
	"context"
	"fmt"

	"github.com/runnerml/runner/environment"
)

func ExampleResolve() {
	spec := &environment.Spec{Python: &environment.Python{Version: "3.11", Pip: []string{"numpy==1.26.4", "six"}}}
	resolved, err := environment.Resolve(context.Background(), spec, ".", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resolved.Kind, resolved.Digest[:20])
	fmt.Print(resolved.Requirements)
	fmt.Println(resolved.Activate("/envs/x").Interpreter)
	// Output:
	// venv sha256:6e9b3d49bfce3
	// numpy==1.26.4
	// six
	// /envs/x/bin/python
}

func ExampleChooseBase() {
	for _, driver := range []string{"550.90.07", "440.33", ""} {
		reference, err := environment.ChooseBase("gpu", environment.BaseImages(), driver)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(reference)
	}
	// Output:
	// nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04
	// the NVIDIA driver 440.33 is too old for every gpu image: 450.80.02 is the oldest that works
	// the image gpu needs an NVIDIA driver and none was found
}
