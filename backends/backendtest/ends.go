package backendtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

func endCases() []Case {
	return []Case{
		{"end/exit codes", exitCodes},
		{"end/signals", signals},
		{"end/command not found", commandNotFound},
		{"end/timed out", timedOut},
		{"end/timed out, ignoring TERM", timedOutIgnoringTerm},
		{"end/out of memory", outOfMemory},
		{"end/child out of memory", childOutOfMemory},
		{"end/background child", backgroundChild},
	}
}

// exitCodes: also codes that look like a signal's are the script's own.
func exitCodes(w *world) {
	for _, code := range []int{1, 2, 77, 126, 137, 143, 255} {
		if w.target.SignalsAsCodes != "" && code > 128 && code < 255 {
			continue
		}
		_, o := w.carryOut(w.attempt(fmt.Sprintf("exit %d", code)))
		w.expect(o, run.OutcomeScriptFailed, code, "")
	}
}

func signals(w *world) {
	for _, c := range []struct {
		name   string
		number int
	}{{"SEGV", 11}, {"KILL", 9}, {"TERM", 15}, {"ABRT", 6}} {
		_, o := w.carryOut(w.attempt("kill -" + c.name + " $$; sleep 5"))
		w.expect(o, run.OutcomeScriptFailed, 128+c.number, "SIG"+c.name)
	}
}

func commandNotFound(w *world) {
	ref, o := w.carryOut(w.attempt("this-command-is-not-there --really"))
	w.expect(o, run.OutcomeScriptFailed, 127, "")
	if got := w.log(ref); !strings.Contains(got, "this-command-is-not-there") {
		w.Errorf("log %q", got)
	}
}

func limited(duration, grace time.Duration) func(*backends.Attempt) {
	return func(a *backends.Attempt) {
		a.Config.MaxRunDuration, a.Config.Grace = runconfig.Duration(duration), runconfig.Duration(grace)
	}
}

func timedOut(w *world) {
	a := w.attempt(`trap 'echo saved; exit 0' TERM; echo begun; while :; do sleep 0.05; done 2>/dev/null`, limited(700*time.Millisecond+w.target.Startup, 20*time.Second))
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeTimedOut, 0, "")
	if got := w.log(ref); got != "begun\nsaved\n" {
		w.Errorf("log %q", got)
	}
	if took := o.EndedAt.Sub(o.StartedAt); took < 600*time.Millisecond || took > 15*time.Second+w.target.Startup {
		w.Errorf("took %v", took)
	}
}

func timedOutIgnoringTerm(w *world) {
	a := w.attempt(`trap '' TERM; while :; do sleep 0.05; done 2>/dev/null`, limited(300*time.Millisecond+w.target.Startup, 300*time.Millisecond))
	_, o := w.carryOut(a)
	w.expect(o, run.OutcomeTimedOut, 137, "SIGKILL")
}

func memory(bytes int64) func(*backends.Attempt) {
	return func(a *backends.Attempt) {
		a.Config.Resources.Memory = runconfig.Bytes(bytes)
		a.Allocation.Memory = bytes
	}
}

// eat allocates and touches memory until somebody ends it.
const eat = `
import time
kept = []
for _ in range(64):
    kept.append(bytearray(b"x" * (16 << 20)))
    time.sleep(0.01)
print("ate 1 GiB")
`

func outOfMemory(w *world) {
	if w.target.NoMemoryLimit != "" {
		w.Skip(w.target.NoMemoryLimit)
	}
	a := w.attempt("", memory(96<<20), func(a *backends.Attempt) {
		a.Config.Command, a.Config.Script = "", "eat.py"
		a.Snapshot = w.snapshot(files{"eat.py": eat})
	})
	_, o := w.carryOut(a)
	if o.Outcome != run.OutcomeOutOfMemory || !strings.Contains(o.Reason, "the limit is 96 MiB") {
		w.Errorf("seen: %s", describe(o))
	}
}

// childOutOfMemory: the kernel kills a child of the script, which then fails
// by itself.
func childOutOfMemory(w *world) {
	if w.target.NoMemoryLimit != "" {
		w.Skip(w.target.NoMemoryLimit)
	}
	a := w.attempt("python3 eat.py || exit 1", memory(96<<20), func(a *backends.Attempt) {
		a.Snapshot = w.snapshot(files{"eat.py": eat})
	})
	_, o := w.carryOut(a)
	if o.Outcome != run.OutcomeOutOfMemory || !strings.Contains(o.Reason, "the limit is 96 MiB") {
		w.Errorf("seen: %s", describe(o))
	}
}

// backgroundChild: what the script leaves running holds up neither its end nor
// its log, and is gone after release.
func backgroundChild(w *world) {
	a := w.attempt(`sleep 300 & setsid sleep 300 & (trap '' TERM HUP; setsid sh -c 'trap "" TERM HUP; sleep 300; :' &) ; echo bye`)
	began := time.Now()
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
	if got := w.log(ref); got != "bye\n" {
		w.Errorf("log %q", got)
	}
	if took := time.Since(began); took > 40*time.Second {
		w.Errorf("took %v", took)
	}
}
