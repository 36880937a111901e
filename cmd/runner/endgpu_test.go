package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// withGPUs is the program on a computer whose nvidia-smi says what a real one
// was recorded to say.
func withGPUs(t *testing.T, xml, list string) *testenv.CLI {
	t.Helper()
	recorded, err := filepath.Abs(filepath.Join("..", "..", "internal", "inventory", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	write(t, filepath.Join(tools, "nvidia-smi"), "#!/bin/sh\ncase \"$*\" in\n*-q*) cat '"+filepath.Join(recorded, xml)+
		"' ;;\n*-L*) cat '"+filepath.Join(recorded, list)+"' ;;\n*) exit 1 ;;\nesac\n")
	return testenv.Runner(t, "PATH="+tools+":"+os.Getenv("PATH"), "CUDA_VISIBLE_DEVICES=the agent's own")
}

// sees holds its slot until it is let go, and says which devices it sees.
const sees = `command=printf '%s\n' "${CUDA_VISIBLE_DEVICES-unset}"; until [ -e "$GO" ]; do sleep 0.02; done`

func TestEndGPUs(t *testing.T) {
	t.Parallel()
	c := withGPUs(t, "h100.xml", "none")
	goFile := filepath.Join(t.TempDir(), "go")
	holding := func(gpus string, more ...string) string {
		return detached(t, c, append([]string{
			"--gpus", gpus, "--set", "experiment=gpu", "--set", "resources.cpus=0.1", "--set", sees, "--set", "environment_variables.GO=" + goFile,
		}, more...)...)
	}
	first, second := holding("1"), holding("1")
	inState(t, c, first, run.Running)
	inState(t, c, second, run.Running)
	third, none := holding("1"), holding("0")
	inState(t, c, none, run.Running)

	if r := show(t, c, third); r.State != run.Queued {
		t.Errorf("a third run on two GPUs is %s", r.State)
	}
	wantLines(t, c.Run("show", third), "waits for 1 GPU, held by ("+first+"|"+second+"|"+first+" and "+second+"|"+first+", "+second+"|"+second+", "+first+")")
	say(t, c, nil, "submit", "--gpus", "3", "--set", "experiment=gpu", "--set", "command=true").
		want(t, 2, "error: .*3 GPUs.*")

	write(t, goFile, "")
	ids := []string{first, second, third, none}
	say(t, c, nil, append([]string{"wait"}, ids...)...).want(t, 0)
	seen := map[string]string{}
	for _, id := range ids {
		seen[id] = strings.TrimSpace(c.Run("logs", id))
	}
	known := []string{"GPU-8d1f2a34-6f3c-9b1e-44d2-0c7be1a95f60", "0", "1"}
	for _, id := range ids[:3] {
		if held := show(t, c, id).Attempts[0].Allocation.GPUs; len(held) != 1 || seen[id] != held[0] {
			t.Errorf("%s holds %v and sees %q", id, held, seen[id])
		}
	}
	if seen[first] == seen[second] {
		t.Errorf("two runs at the same time see the GPU %s", seen[first])
	}
	if seen[none] == "unset" || strings.Contains(seen[none], "agent") || cmp.Equal(seen[none], known[0]) {
		t.Errorf("a run without GPUs sees %q", seen[none])
	}
}

func TestEndMIG(t *testing.T) {
	t.Parallel()
	c := withGPUs(t, "a100-mig.xml", "a100-mig-list.txt")
	s := say(t, c, nil, "submit", "-q", "--gpus", "1", "--set", "experiment=mig", "--set", `command=echo "$CUDA_VISIBLE_DEVICES"`)
	s.want(t, 0)
	all := say(t, c, nil, "submit", "-q", "--gpus", "4", "--set", "experiment=mig", "--set", `command=echo "$CUDA_VISIBLE_DEVICES"`)
	all.want(t, 0)
	want := []string{
		"GPU-3f1a2b77-88e2-0f5e-7a53-cc1d0f4e9b21", "MIG-2f1b5c6e-9d0a-5e43-8b7f-6a1c0d3e4f52", "MIG-7c3d9e10-4b2f-5a68-9e1d-0f8a7b6c5d43",
		"MIG-e0a4b8c2-6d1f-5b97-a3e5-1c2d3e4f5a6b",
	}
	for _, id := range want {
		if !strings.Contains(all.out, id) {
			t.Errorf("all of %v are not in %q", want, all.out)
		}
	}
	if one := strings.TrimSpace(s.out); !strings.Contains(all.out, one) || one == "" || strings.Contains(one, ",") {
		t.Errorf("one of %v is %q", want, one)
	}
}
