package backendtest

import (
	"encoding/json"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func scriptCases() []Case {
	return []Case{
		{"script/what it sees", whatTheScriptSees},
		{"script/fresh copy", freshCopy},
		{"script/checkpoints", checkpoints},
		{"script/command with arguments", commandWithArguments},
		{"script/precedence of variables", precedence},
	}
}

// see prints what a script sees, as JSON.
const see = `
import json, os, sys
json.dump({
    "argv": sys.argv[1:],
    "env": {k: v for k, v in os.environ.items()},
    "cwd": os.getcwd(),
    "files": sorted(os.path.join(d, f)[2:] for d, _, fs in os.walk(".") for f in fs),
    "dirs": sorted(os.path.join(d, f)[2:] for d, fs, _ in os.walk(".") for f in fs),
    "writable": all(os.access(d, os.W_OK) for d in [".", "outputs", "logs", os.environ["RUNNER_CHECKPOINT_DIR"]]),
}, sys.stdout)
`

type sight struct {
	Argv     []string          `json:"argv"`
	Env      map[string]string `json:"env"`
	Cwd      string            `json:"cwd"`
	Files    []string          `json:"files"`
	Dirs     []string          `json:"dirs"`
	Writable bool              `json:"writable"`
}

// script makes an attempt run a Python script from source.
func (w *world) script(name string, source files, arguments ...string) func(*backends.Attempt) {
	return func(a *backends.Attempt) {
		a.Config.Command, a.Config.Script, a.Config.Arguments = "", name, arguments
		a.Snapshot = w.snapshot(source)
	}
}

// sight runs see.py as changed and gives what it saw.
func (w *world) sight(source files, change ...func(*backends.Attempt)) (backends.Attempt, sight) {
	w.Helper()
	if source == nil {
		source = files{}
	}
	source["see.py"] = see
	a := w.attempt("", append([]func(*backends.Attempt){w.script("see.py", source)}, change...)...)
	ref, o := w.carryOut(a)
	text := w.log(ref)
	if o.Outcome != run.OutcomeCompleted {
		w.Fatalf("%s\n%s", describe(o), text)
	}
	var s sight
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		w.Fatalf("%v in %q", err, text)
	}
	return a, s
}

func whatTheScriptSees(w *world) {
	a, s := w.sight(files{"data/x.csv": "1,2", "empty/": "", "run.sh": "#!/bin/sh\n"})
	if diff := cmp.Diff([]string{"data/x.csv", "run.sh", "see.py"}, s.Files); diff != "" {
		w.Error(diff)
	}
	if diff := cmp.Diff([]string{"data", "empty", "logs", "outputs"}, s.Dirs); diff != "" {
		w.Error(diff)
	}
	if !s.Writable {
		w.Error("a directory that the script may write to is not writable")
	}
	for name, want := range map[string]string{
		"RUNNER_RUN_ID": a.Run, "AZUREML_RUN_ID": a.Run, "RUNNER_EXPERIMENT": "conformance", "RUNNER_ATTEMPT": "1",
		"RUNNER_OUTPUTS_DIR": s.Cwd + "/outputs", "PYTHONUNBUFFERED": "1",
	} {
		if got := s.Env[name]; got != want {
			w.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"WORLD_SIZE", "RANK", "MASTER_ADDR", "RUNNER_TOKEN", "RUNNER_HOME", "RUNNER_SERVER"} {
		if got, ok := s.Env[name]; ok {
			w.Errorf("%s = %q, want none", name, got)
		}
	}
	if s.Env["PATH"] == "" {
		w.Error("no PATH")
	}
}

// freshCopy: what an attempt did to its copy of the source is not in the next one.
func freshCopy(w *world) {
	a := w.attempt(`test ! -e made || exit 9; cat source; echo changed >source; touch made; ls -l tool`, func(a *backends.Attempt) {
		a.Snapshot = w.snapshot(files{"source": "original\n", "tool": "#!/bin/sh\n"})
	})
	for number := 1; number <= 2; number++ {
		a.Number = number
		if number > 1 {
			w.releaseLater(a.Ref())
		}
		ref, o := w.carryOut(a)
		w.expect(o, run.OutcomeCompleted, 0, "")
		if got := w.log(ref); !strings.HasPrefix(got, "original\n-rwxr-xr-x") {
			w.Errorf("attempt %d: %q", number, got)
		}
	}
}

// checkpoints: the directory belongs to the run, whatever became of an attempt.
func checkpoints(w *world) {
	a := w.attempt(`cd "$RUNNER_CHECKPOINT_DIR" && cat step 2>/dev/null; echo "saved by $RUNNER_ATTEMPT" >>step; test "$RUNNER_ATTEMPT" = 3`)
	for number, want := range []string{"", "saved by 1\n", "saved by 1\nsaved by 2\n"} {
		a.Number = number + 1
		if number > 0 {
			w.releaseLater(a.Ref())
		}
		ref, o := w.carryOut(a)
		if o.Phase != backends.Ended || (o.Outcome == run.OutcomeCompleted) != (number == 2) {
			w.Errorf("attempt %d: %s", a.Number, describe(o))
		}
		if got := w.log(ref); got != want {
			w.Errorf("attempt %d found %q, want %q", a.Number, got, want)
		}
		w.collect(ref)
		w.must(w.backend.Release(w.context(), ref))
	}
}

func commandWithArguments(w *world) {
	a := w.attempt(`printf '<%s>' "$@"`, func(a *backends.Attempt) { a.Config.Arguments = []string{"a b", "", "$HOME", "*"} })
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
	if got := w.log(ref); got != "<a b><><$HOME><*>" {
		w.Errorf("log %q", got)
	}
}

// precedence: the run's variables win over the environment's, secrets over
// both, and ours over all.
func precedence(w *world) {
	_, s := w.sight(nil, func(a *backends.Attempt) {
		if a.Environment != nil {
			e := *a.Environment
			e.Variables = map[string]string{"ONE": "environment", "TWO": "environment", "THREE": "environment"}
			a.Environment = &e
		}
		a.Config.EnvironmentVariables = map[string]string{"TWO": "run", "THREE": "run", "RUNNER_ATTEMPT": "99"}
		a.Secrets = map[string]string{"THREE": "a-secret"}
	})
	for name, want := range map[string]string{"TWO": "run", "THREE": "***", "RUNNER_ATTEMPT": "1"} {
		if got := s.Env[name]; got != want {
			w.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if w.target.Environment != nil && s.Env["ONE"] != "environment" {
		w.Errorf("ONE = %q", s.Env["ONE"])
	}
}
