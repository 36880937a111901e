package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// micromamba runs the stand-in with a package cache that lasts as long as the test.
func (c CondaTool) micromamba(t *testing.T, root string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.BinDir, "micromamba"), args...)
	cmd.Env = append(os.Environ(), "MAMBA_ROOT_PREFIX="+root)
	return output(cmd)
}

func TestCondaSolvesAndInstalls(t *testing.T) {
	conda := Conda(t)
	index := PyIndex(t)
	root := t.TempDir()
	python := "python=" + conda.PythonVersion
	tests := []struct {
		name    string
		specs   []string
		yaml    string
		command []string // run in the environment
		want    string   // its output; PREFIX stands for the environment's
		refused string   // part of the error
	}{
		{
			name: "python", specs: []string{"python=3"},
			command: []string{"python", "-c", "import sys, sysconfig; print(sys.prefix, sysconfig.get_path('purelib'), sysconfig.get_path('purelib') in sys.path)"},
			want:    fmt.Sprintf("PREFIX PREFIX/lib/python%s/site-packages True\n", conda.PythonVersion[:strings.LastIndex(conda.PythonVersion, ".")]),
		},
		{name: "newest by default", specs: []string{"runner-lib"}, command: []string{"runner-tool"}, want: "runner-tool 2.0 in PREFIX\n"},
		{name: "solved for an older one", specs: []string{"runner-lib", "runner-tool=1"}, command: []string{"runner-lib"}, want: "runner-lib 1.0\n"},
		{name: "cannot be solved", specs: []string{"runner-lib=2", "runner-tool=1"}, refused: "Could not solve for environment specs"},
		{name: "not in the channel", specs: []string{"no-such-package"}, refused: "no-such-package"},
		{
			name: "from a file with a pip section",
			yaml: fmt.Sprintf("channels: [%q]\ndependencies:\n- %s\n- pip\n- runner-lib=1.0\n- pip:\n  - --index-url %s\n  - runner-greet==1.0\n",
				conda.Channel, python, index.URL),
			command: []string{"runner-greet"}, want: "hello 1.0\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			prefix := filepath.Join(t.TempDir(), "env")
			args := []string{"create", "-y", "-q", "-p", prefix}
			if test.yaml != "" {
				file := filepath.Join(t.TempDir(), "environment.yml")
				if err := os.WriteFile(file, []byte(test.yaml), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-f", file)
			} else {
				args = append(append(args, "-c", conda.Channel, "--override-channels"), test.specs...)
			}
			_, err := conda.micromamba(t, root, args...)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("error %v, want one with %q", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := conda.micromamba(t, root, append([]string{"run", "-p", prefix}, test.command...)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(test.want, "PREFIX", prefix), got); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCondaListsAndRepeats(t *testing.T) {
	conda := Conda(t)
	root, prefix, again := t.TempDir(), filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	if _, err := conda.micromamba(t, root, "create", "-y", "-p", prefix, "-c", conda.Channel, "--override-channels", "runner-tool=1.0"); err != nil {
		t.Fatal(err)
	}
	names := func(prefix string) []string {
		text, err := conda.micromamba(t, root, "list", "-p", prefix, "--json")
		if err != nil {
			t.Fatal(err)
		}
		var packages []struct{ Name, Version string }
		if err := json.Unmarshal([]byte(text), &packages); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range packages {
			names = append(names, p.Name+" "+p.Version)
		}
		slices.Sort(names)
		return names
	}
	if diff := cmp.Diff([]string{"runner-tool 1.0"}, names(prefix)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	lock, err := conda.micromamba(t, root, "env", "export", "-p", prefix, "--explicit")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lock.txt")
	if err := os.WriteFile(file, []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := conda.micromamba(t, root, "create", "-y", "-p", again, "-f", file); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names(prefix), names(again)); diff != "" {
		t.Errorf("made again from its lock (-want +got):\n%s", diff)
	}
	if _, err := conda.micromamba(t, root, "create", "--no-such-option"); err == nil || !strings.Contains(err.Error(), "exit status 109") {
		t.Errorf("an unknown option: %v, want a refusal", err)
	}
}
