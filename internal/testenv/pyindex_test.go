package testenv

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPyIndexServesPipAndUV(t *testing.T) {
	python, err := systemPython()
	Need(t, "Python", err)
	uv := UV(t)
	index := PyIndex(t)
	tests := []struct {
		name    string
		install func(python string) []string
		want    string
	}{
		{"pip solves for an older one", func(python string) []string {
			return []string{python, "-m", "pip", "install", "--no-cache-dir", "--index-url", index.URL, "runner-greet", "runner-words==1.0"}
		}, "hello 1.0\n"},
		{"pip from the directory alone", func(python string) []string {
			return []string{python, "-m", "pip", "install", "--no-index", "--find-links", index.Dir, "runner-greet"}
		}, "hello again 2.0\n"},
		{"uv", func(python string) []string {
			return []string{uv, "pip", "install", "--no-cache", "--no-config", "--python", python, "--default-index", index.URL, "runner-greet==1.0"}
		}, "hello 1.0\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			venv := filepath.Join(t.TempDir(), "venv")
			if _, err := output(exec.CommandContext(t.Context(), python, "-m", "venv", venv)); err != nil {
				t.Fatal(err)
			}
			args := test.install(filepath.Join(venv, "bin/python"))
			if _, err := output(exec.CommandContext(t.Context(), args[0], args[1:]...)); err != nil {
				t.Fatal(err)
			}
			got, err := output(exec.CommandContext(t.Context(), filepath.Join(venv, "bin/runner-greet")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
	if index.Requests() == 0 {
		t.Error("the index counted no requests")
	}
}

func TestPyIndexOnGatewayIsReachedFromContainers(t *testing.T) {
	e := Docker(t)
	index := PyIndexOn(t, e.Gateway)
	got, err := output(e.Command(t.Context(), "run", "--rm", "--env", "PIP_INDEX_URL="+index.URL, "--env", "PIP_TRUSTED_HOST="+e.Gateway, e.Base,
		"sh", "-c", "python3 -m venv /v && /v/bin/pip install --quiet --no-cache-dir runner-greet && /v/bin/runner-greet"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("hello again 2.0\n", got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
