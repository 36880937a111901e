package runconfig_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/runconfig"
	"pgregory.net/rapid"
)

func TestCommandLine(t *testing.T) {
	inputs := map[string]string{"data": "/a b/it's", "n": "/n"}
	tests := []struct {
		name string
		c    runconfig.ScriptRunConfig
		want []string
	}{
		{"Python", runconfig.ScriptRunConfig{Script: "train.py", Arguments: []string{"--a", "x y"}}, []string{"PY", "train.py", "--a", "x y"}},
		{"Python with a dash", runconfig.ScriptRunConfig{Script: "-m.py"}, []string{"PY", "./-m.py"}},
		{"shell, not seen", runconfig.ScriptRunConfig{Script: "a/run.sh", Arguments: []string{"1"}}, []string{"/bin/sh", "-c", `exec "$0" "$@"`, "./a/run.sh", "1"}},
		{"anything else", runconfig.ScriptRunConfig{Script: "bin/train", Arguments: []string{"1"}}, []string{"/bin/sh", "-c", `exec "$0" "$@"`, "./bin/train", "1"}},
		{"command", runconfig.ScriptRunConfig{Command: "make x"}, []string{"/bin/sh", "-c", "make x", "sh"}},
		{"command with arguments", runconfig.ScriptRunConfig{Command: "make x\n", Arguments: []string{"a b"}}, []string{"/bin/sh", "-c", `make x "$@"`, "sh", "a b"}},
		{"command that takes them", runconfig.ScriptRunConfig{Command: `a "$1"; b`, Arguments: []string{"a b"}}, []string{"/bin/sh", "-c", `a "$1"; b`, "sh", "a b"}},
		{"input", runconfig.ScriptRunConfig{Command: `a ${{ inputs.data }} ${{inputs.n}}`}, []string{"/bin/sh", "-c", `a '/a b/it'"'"'s' /n`, "sh"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.c.CommandLine("PY", inputs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFirstLine(t *testing.T) {
	tests := []struct {
		name, head string
		want       []string
	}{
		{"nothing", "", nil},
		{"text", "echo hello\n", nil},
		{"a comment", "# !/bin/sh\n", nil},
		{"not at the beginning", "\n#!/bin/sh\n", nil},
		{"names nothing", "#! \n/bin/sh", nil},
		{"a program", "#!/bin/bash\necho\n", []string{"/bin/bash"}},
		{"without an end", "#!/bin/bash", []string{"/bin/bash"}},
		{"spaces", "#! \t/bin/bash \t\n", []string{"/bin/bash"}},
		{"through env", "#!/usr/bin/env bash\n", []string{"/usr/bin/env", "bash"}},
		{"arguments are one", "#!/bin/bash  -e -u \n", []string{"/bin/bash", "-e -u"}},
		{"a tab before it", "#!/bin/bash\t-eu\n", []string{"/bin/bash", "-eu"}},
		{"Windows", "#!/usr/bin/env bash\r\necho\r\n", []string{"/usr/bin/env", "bash"}},
		{"a NUL", "#!/bin/sh\x00junk\n", []string{"/bin/sh"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, runconfig.FirstLine([]byte(test.head))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCommandLineOf(t *testing.T) {
	env := []string{"/usr/bin/env", "bash"}
	tests := []struct {
		name   string
		c      runconfig.ScriptRunConfig
		first  []string
		want   []string
		refuse string // a word of the refusal of a file that is not executable
	}{
		{"shell by its first line", runconfig.ScriptRunConfig{Script: "run.sh", Arguments: []string{"a b"}}, env, []string{"/usr/bin/env", "bash", "run.sh", "a b"}, ""},
		{"shell without one", runconfig.ScriptRunConfig{Script: "run.sh"}, nil, []string{"/bin/sh", "run.sh"}, ""},
		{"any by its first line", runconfig.ScriptRunConfig{Script: "bin/train"}, env, []string{"/usr/bin/env", "bash", "bin/train"}, ""},
		{"a name like an option", runconfig.ScriptRunConfig{Script: "-x.sh"}, env, []string{"/usr/bin/env", "bash", "./-x.sh"}, ""},
		{"a program", runconfig.ScriptRunConfig{Script: "bin/train"}, nil, []string{"/bin/sh", "-c", `exec "$0" "$@"`, "./bin/train"}, "chmod +x"},
		{"a notebook", runconfig.ScriptRunConfig{Script: "a b.ipynb"}, nil, []string{"/bin/sh", "-c", `exec "$0" "$@"`, "./a b.ipynb"}, "jupyter nbconvert --to script 'a b.ipynb'"},
		{"Python has the environment's", runconfig.ScriptRunConfig{Script: "train.PY"}, []string{"/usr/bin/python2"}, []string{"PY", "train.PY"}, ""},
		{"a jar for Spark", runconfig.ScriptRunConfig{Script: "x.jar", Spark: &runconfig.Spark{}}, nil, []string{"/bin/sh", "-c", `exec "$0" "$@"`, "./x.jar"}, ""},
		{"a command", runconfig.ScriptRunConfig{Command: "true"}, nil, []string{"/bin/sh", "-c", "true", "sh"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.c.CommandLineOf(test.first, "PY", nil)); diff != "" {
				t.Error(diff)
			}
			wrong, hint := test.c.CheckScript(test.first, false)
			if (wrong == "") != (test.refuse == "") || !strings.Contains(hint, test.refuse) {
				t.Errorf("refused: %q, hint %q", wrong, hint)
			}
			if wrong, _ := test.c.CheckScript(test.first, true); wrong != "" && !strings.HasSuffix(test.c.Script, ".ipynb") {
				t.Errorf("executable and refused: %s", wrong)
			}
		})
	}
}

// An input's path arrives unchanged wherever it stands in a command.
func TestCommandLineQuotesInputs(t *testing.T) {
	templates := []string{
		`printf %s ${{inputs.x}}`,
		`printf %s "${{inputs.x}}"`,
		`printf %s '${{inputs.x}}'`,
		`# it's a comment` + "\n" + `printf %s ${{inputs.x}}`,
		`a='q"'; printf %s "${{inputs.x}}"`,
		`printf %s "$(printf %s ${{inputs.x}}; echo .)" | sed '$s/\.$//'`,
		`printf %s\\n "$(printf '%s' "${{inputs.x}}")"`,
		`: \' \" "\"" '\'; printf %s ${{inputs.x}}`,
		`(printf %s ${{inputs.x}})`,
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`/[ -~é]{0,20}`).Draw(t, "path")
		template := rapid.SampledFrom(templates).Draw(t, "command")
		c := runconfig.ScriptRunConfig{Command: template}
		line := c.CommandLine("python3", map[string]string{"x": value})
		out, err := exec.Command(line[0], line[1:]...).Output()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != value {
			t.Fatalf("%s gave %q, %v; want %q", line[2], got, err, value)
		}
	})
}

// Arguments arrive byte for byte, whatever is in them.
func TestCommandLineKeepsBytes(t *testing.T) {
	directory := t.TempDir()
	show := "for a; do printf '%s\\0' \"$a\"; done\n"
	for name, content := range map[string]string{"run.sh": show, "noline": show, "line": "#!/bin/sh\n" + show} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	specs := map[string]runconfig.ScriptRunConfig{
		"shell script":           {Script: "run.sh"},
		"without a first line":   {Script: "noline"},
		"with a first line":      {Script: "line"},
		"command":                {Command: "sh run.sh"},
		"command with arguments": {Command: `sh run.sh "$@" | cat`},
	}
	arguments := []string{"", " ", "a b", "it's", `"`, "$HOME", "`x`", "\\", "*", "\n", "--", "-n", "é\xff\x01", "${{inputs.x}}", ";", "&", "#"}
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			spec.Arguments = arguments
			line := spec.CommandLine("python3", map[string]string{"x": "no"})
			command := exec.Command(line[0], line[1:]...)
			command.Dir = directory
			out, err := command.Output()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Join(arguments, "\x00")+"\x00", string(out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
