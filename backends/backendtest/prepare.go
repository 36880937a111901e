package backendtest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

func prepareCases() []Case {
	return []Case{
		{"prepare/twice", prepareTwice},
		{"prepare/canceled", prepareCanceled},
		{"prepare/script not there", scriptNotThere},
		{"prepare/snapshot not there", snapshotNotThere},
		{"prepare/interpreter not there", interpreterNotThere},
		{"prepare/interpreter in PATH", interpreterInPath},
		{"prepare/inputs", inputs},
		{"prepare/inputs that are links", linkedInputs},
		{"prepare/killed while it copies", killedWhileCopying},
		{"prepare/input not there", inputNotThere},
		{"prepare/a file named outputs", fileNamedOutputs},
		{"prepare/start without it", startWithoutPrepare},
	}
}

func prepareTwice(w *world) {
	a := w.attempt("cat f", func(a *backends.Attempt) { a.Snapshot = w.snapshot(files{"f": "content"}) })
	w.must(w.backend.Prepare(w.context(), a, nil))
	w.backend = w.target.New(w)
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
	if got := w.log(ref); got != "content" {
		w.Errorf("log %q", got)
	}
}

func prepareCanceled(w *world) {
	a := w.attempt("true")
	ctx, cancel := context.WithCancel(w.context())
	cancel()
	if err := w.backend.Prepare(ctx, a, nil); err == nil {
		w.Error("Prepare after its context ended gave no error")
	}
	_, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
}

// failure of an error that must say whose fault it is.
func (w *world) failure(err error, outcome run.Outcome, words ...string) {
	w.Helper()
	if err == nil {
		w.Fatal("no error")
	}
	if got := backends.OutcomeOf(err); got != outcome {
		w.Errorf("outcome %s, want %s: %v", got, outcome, err)
	}
	text := err.Error() + "\n" + backends.HintOf(err)
	for _, word := range words {
		if !strings.Contains(text, word) {
			w.Errorf("no %q in %q", word, text)
		}
	}
}

func scriptNotThere(w *world) {
	a := w.attempt("", w.script("trian.py", files{"train.py": "print(1)", "other/data.csv": "1"}))
	w.failure(w.backend.Prepare(w.context(), a, nil), run.OutcomeEnvironmentFailed, "trian.py", "train.py")
}

func snapshotNotThere(w *world) {
	a := w.attempt("true", func(a *backends.Attempt) { a.Snapshot = "sha256:" + strings.Repeat("0", 64) })
	if err := w.backend.Prepare(w.context(), a, nil); err == nil {
		w.Error("Prepare of a snapshot that is not there gave no error")
	}
}

// existing is an environment with an interpreter as it is, in the target's form.
func (w *world) existing(interpreter string) func(*backends.Attempt) {
	return func(a *backends.Attempt) {
		e := environment.Resolved{Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("0", 64)}
		if a.Environment != nil {
			e = *a.Environment
		}
		e.Interpreter = interpreter
		a.Environment = &e
	}
}

// interpreterNotThere comes out in Prepare, but where only a container could
// tell: then in Start or at the end.
func interpreterNotThere(w *world) {
	a := w.attempt("", w.script("train.py", files{"train.py": "print(1)"}), w.existing("/nowhere/bin/python3"))
	err := w.backend.Prepare(w.context(), a, nil)
	if err == nil && a.Environment.Kind == environment.Existing {
		w.Fatal("Prepare did not see it")
	}
	if err == nil {
		_, err = w.backend.Start(w.context(), a)
	}
	if err != nil {
		w.failure(err, run.OutcomeEnvironmentFailed, "/nowhere/bin/python3")
		return
	}
	if o := w.ended(a.Ref()); o.Outcome != run.OutcomeEnvironmentFailed || !strings.Contains(o.Reason, "/nowhere/bin/python3") {
		w.Errorf("seen: %s", describe(o))
	}
}

// interpreterInPath: the interpreter that the environment names by its whole
// path is the one that a command means.
func interpreterInPath(w *world) {
	dir := "/usr/bin"
	if w.target.Environment == nil || w.target.Environment.Kind == environment.Existing {
		var err error
		dir, err = os.MkdirTemp("", "interpreter") // not in TempDir, where only we may look
		w.must(err)
		w.Cleanup(func() { w.must(os.RemoveAll(dir)) })
		w.must(os.Chmod(dir, 0o755))
		w.must(os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\necho mine\n"), 0o755))
	}
	a := w.attempt(`echo "${PATH%%:*}"; python3 -c 'print("mine")'`, w.existing(filepath.Join(dir, "python3")))
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
	if diff := cmp.Diff(dir+"\nmine\n", w.log(ref)); diff != "" {
		w.Error(diff)
	}
}

func inputs(w *world) {
	dir := w.TempDir()
	w.must(os.WriteFile(filepath.Join(dir, "x"), []byte("in a directory"), 0o644))
	file := filepath.Join(w.TempDir(), "a file 'é.csv")
	w.must(os.WriteFile(file, []byte("in a file"), 0o644))
	for _, mode := range []string{"mount", "copy"} {
		a := w.attempt(`cat "$RUNNER_INPUT_DATA/x"; echo; cat ${{inputs.one}}; echo; touch "$RUNNER_INPUT_DATA/new" 2>/dev/null; true`, func(a *backends.Attempt) {
			a.Config.Inputs = map[string]runconfig.Input{"data": {Path: dir, Mode: mode}, "one": {Path: file, Mode: mode}}
		})
		ref, o := w.carryOut(a)
		w.expect(o, run.OutcomeCompleted, 0, "")
		if diff := cmp.Diff("in a directory\nin a file\n", w.log(ref)); diff != "" {
			w.Errorf("%s: %s", mode, diff)
		}
		w.must(w.backend.Release(w.context(), ref))
		if _, err := os.Stat(filepath.Join(dir, "x")); err != nil {
			w.Errorf("%s: release took the input itself: %v", mode, err)
		}
	}
}

// linkedInputs: a path that is itself a symbolic link means what it leads to,
// and a copy of that is a copy.
func linkedInputs(w *world) {
	dir := w.TempDir()
	w.must(os.Mkdir(filepath.Join(dir, "d"), 0o755))
	links := map[string]string{"abs-dir": filepath.Join(dir, "d"), "rel-dir": "d", "abs-file": filepath.Join(dir, "f"), "rel-file": "f"}
	for name, target := range links {
		w.must(os.Symlink(target, filepath.Join(dir, name)))
	}
	for _, mode := range []string{"mount", "copy"} {
		w.must(os.WriteFile(filepath.Join(dir, "d", "x"), []byte("x\n"), 0o644))
		w.must(os.WriteFile(filepath.Join(dir, "f"), []byte("f\n"), 0o644))
		command := `cat "$RUNNER_INPUT_ABS_DIR/x" "$RUNNER_INPUT_REL_DIR/x" "$RUNNER_INPUT_ABS_FILE" "$RUNNER_INPUT_REL_FILE"`
		if mode == "copy" {
			command += `; set -e; for f in "$RUNNER_INPUT_ABS_DIR/x" "$RUNNER_INPUT_REL_DIR/x" "$RUNNER_INPUT_ABS_FILE" "$RUNNER_INPUT_REL_FILE"; do echo changed >"$f"; done`
		}
		a := w.attempt(command, func(a *backends.Attempt) {
			a.Config.Inputs = map[string]runconfig.Input{}
			for name := range links {
				a.Config.Inputs[name] = runconfig.Input{Path: filepath.Join(dir, name), Mode: mode}
			}
		})
		ref, o := w.carryOut(a)
		w.expect(o, run.OutcomeCompleted, 0, "")
		if diff := cmp.Diff("x\nx\nf\nf\n", w.log(ref)); diff != "" {
			w.Errorf("%s: %s", mode, diff)
		}
		w.must(w.backend.Release(w.context(), ref))
		for name, want := range map[string]string{"d/x": "x\n", "f": "f\n"} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			w.must(err)
			if string(got) != want {
				w.Errorf("%s: the user's own %s is now %q", mode, name, got)
			}
		}
	}
}

// killedWhileCopying: the agent dies in the middle of a copy, and the next one
// prepares the attempt as if nothing had been.
func killedWhileCopying(w *world) {
	dir := w.TempDir()
	const count = 4000
	for i := range count {
		sub := filepath.Join(dir, strconv.Itoa(i%50))
		w.must(os.MkdirAll(sub, 0o755))
		w.must(os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), []byte("content"), 0o644))
	}
	for _, after := range []time.Duration{10 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond} {
		a := w.attempt(`find "$RUNNER_INPUT_DATA" -type f | wc -l`, func(a *backends.Attempt) {
			a.Config.Inputs = map[string]runconfig.Input{"data": {Path: dir, Mode: "copy"}}
		})
		g := w.agent(a)
		<-time.After(after)
		g.kill()
		ref, o := w.carryOut(a)
		w.expect(o, run.OutcomeCompleted, 0, "")
		if got := strings.TrimSpace(w.log(ref)); got != strconv.Itoa(count) {
			w.Errorf("killed after %s: %s of %d files", after, got, count)
		}
		w.must(w.backend.Release(w.context(), ref))
	}
}

func fileNamedOutputs(w *world) {
	a := w.attempt("true", func(a *backends.Attempt) { a.Snapshot = w.snapshot(files{"outputs": "a file"}) })
	w.failure(w.backend.Prepare(w.context(), a, nil), run.OutcomeEnvironmentFailed, "a file named outputs")
}

func inputNotThere(w *world) {
	missing := filepath.Join(w.TempDir(), "missing")
	a := w.attempt("true", func(a *backends.Attempt) {
		a.Config.Inputs = map[string]runconfig.Input{"data": {Path: missing, Mode: "mount"}}
	})
	err := w.backend.Prepare(w.context(), a, nil)
	w.failure(err, run.OutcomeEnvironmentFailed, "input data: ", missing)
}

func startWithoutPrepare(w *world) {
	a := w.attempt("true")
	if _, err := w.backend.Start(w.context(), a); err == nil {
		w.Error("Start without Prepare gave no error")
	}
}
