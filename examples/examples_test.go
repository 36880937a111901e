// Package examples_test carries every example out, as a user does.
package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

func TestExamples(t *testing.T) {
	specs, err := filepath.Glob("*/job.yaml")
	if err != nil || len(specs) < 3 {
		t.Fatalf("examples: %v, %v", specs, err)
	}
	for _, spec := range specs {
		name := filepath.Dir(spec)
		t.Run(name, func(t *testing.T) {
			args := []string{"submit", spec}
			var env []string
			if name == "docker" {
				// No image can be pulled here: the tests' own base stands for "cpu".
				engine := testenv.Docker(t)
				env = append(env, "DOCKER_HOST="+engine.Host)
				args = append(args, "--set", "environment.docker.image="+engine.Base)
			}
			c := testenv.Runner(t, env...)
			if name == "inputs" { // the run before
				c.Run("submit", "--set", "experiment=before", "--set", "command=echo 1 >outputs/model.txt")
			}
			log := c.Run(args...)
			var r run.Run
			if err := json.Unmarshal([]byte(c.Run("show", "@last", "-o", "json")), &r); err != nil {
				t.Fatal(err)
			}
			if r.State != run.Completed || r.Outcome == nil || *r.Outcome != run.OutcomeCompleted {
				t.Errorf("ended %s: %s", r.State, r.Message)
			}
			outputs := filepath.Join(c.Home, "runs", r.ID, "attempts", "1", "outputs")
			switch name {
			case "sklearn":
				if !strings.Contains(log, "accuracy") {
					t.Errorf("log: %q", log)
				}
				needFile(t, filepath.Join(outputs, "model.joblib"))
				if lock := c.Run("environment", "lock", "sklearn"); !strings.Contains(lock, "scikit-learn==1.7.2") {
					t.Errorf("lock: %q", lock)
				}
			case "checkpoint":
				if len(r.Attempts) != 2 || !strings.Contains(log, "goes on after epoch 2") {
					t.Errorf("%d attempts, log: %q", len(r.Attempts), log)
				}
				needFile(t, filepath.Join(c.Home, "runs", r.ID, "attempts", "2", "outputs", "model.json"))
			case "inputs":
				if !strings.Contains(log, "3 flowers; the earlier run left ['model.txt']") {
					t.Errorf("log: %q", log)
				}
				if len(r.InputsFrom) != 1 || r.InputsFrom[0].Path != "outputs" || !strings.HasPrefix(r.InputsFrom[0].Run, "before-") {
					t.Errorf("inputs from %+v", r.InputsFrom)
				}
				needFile(t, filepath.Join(outputs, "report.json"))
			case "docker":
				needFile(t, filepath.Join(outputs, "report.json"))
				if !strings.Contains(log, `"shared_memory_mib": 256`) {
					t.Errorf("log: %q", log)
				}
			}
		})
	}
}

func needFile(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		t.Errorf("left: %v, %v", info, err)
	}
}
