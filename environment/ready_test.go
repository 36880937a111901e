package environment_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/environment"
)

func TestParseLine(t *testing.T) {
	tests := map[string]*environment.Event{
		"::step 2/3 installing 6 packages\n":   {Kind: environment.StepEvent, Step: 2, Steps: 3, Message: "installing 6 packages"},
		"::error it broke | mend it":           {Kind: environment.ErrorEvent, Message: "it broke", Hint: "mend it"},
		"::error it broke":                     {Kind: environment.ErrorEvent, Message: "it broke"},
		"::step 4/3 x":                         nil,
		"::step x":                             nil,
		"::step a/b x":                         nil,
		"::step 0/3 x":                         nil,
		"Collecting six":                       nil,
		" ::step 1/2 x":                        nil,
		"":                                     nil,
		"::stepping stone":                     nil,
		"::error Could not find a | b | c\r\n": {Kind: environment.ErrorEvent, Message: "Could not find a", Hint: "b | c"},
	}
	for line, want := range tests {
		got, ok := environment.ParseLine(line)
		if ok != (want != nil) {
			t.Errorf("%q: %v", line, ok)
		} else if ok {
			if diff := cmp.Diff(*want, got); diff != "" {
				t.Errorf("%q: %s", line, diff)
			}
		}
	}
}

func TestParseReadyRefuses(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "{}", `{"kind":"venv"}`, `{"kind":"venv","digest":"sha256:x","made_at":"yesterday"}`} {
		if ready, err := environment.ParseReady([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, ready)
		}
	}
}

func TestActivate(t *testing.T) {
	python := &environment.Python{Pip: []string{"six"}}
	conda := &environment.Python{Conda: &environment.Conda{Dependencies: []string{"python"}}}
	docker := &environment.Docker{Image: "cpu"}
	tests := map[string]struct {
		spec *environment.Spec
		want environment.Activation
	}{
		"nothing": {nil, environment.Activation{Interpreter: "python3"}},
		"interpreter": {&environment.Spec{Python: &environment.Python{UserManaged: true, InterpreterPath: "/opt/my/bin/py"}}, environment.Activation{
			Interpreter: "/opt/my/bin/py", PathPrepend: []string{"/opt/my/bin"},
		}},
		"interpreter by name": {&environment.Spec{Python: &environment.Python{UserManaged: true, InterpreterPath: "py"}}, environment.Activation{Interpreter: "py"}},
		"image":               {&environment.Spec{Docker: docker}, environment.Activation{Interpreter: "python3"}},
		"venv": {&environment.Spec{Python: python}, environment.Activation{
			Interpreter: "/e/bin/python", PathPrepend: []string{"/e/bin"},
			Env: map[string]string{"VIRTUAL_ENV": "/e", "PYTHONNOUSERSITE": "1"},
		}},
		"conda": {&environment.Spec{Python: conda}, environment.Activation{
			Interpreter: "/e/bin/python", PathPrepend: []string{"/e/bin"},
			Env: map[string]string{"CONDA_PREFIX": "/e", "CONDA_DEFAULT_ENV": "/e", "PYTHONNOUSERSITE": "1"},
		}},
		"image with packages": {&environment.Spec{Docker: docker, Python: python}, environment.Activation{
			Interpreter: "/opt/runner/venv/bin/python", PathPrepend: []string{"/opt/runner/venv/bin"},
			Env: map[string]string{"VIRTUAL_ENV": "/opt/runner/venv", "PYTHONNOUSERSITE": "1"},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resolved, err := environment.Resolve(t.Context(), test.spec, "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, resolved.Activate("/e")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
