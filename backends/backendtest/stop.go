package backendtest

import (
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func stopCases() []Case {
	return []Case{
		{"stop/polite", stopPolite},
		{"stop/ignoring TERM", stopIgnoringTerm},
		{"stop/grandchildren", stopGrandchildren},
		{"stop/twice", stopTwice},
		{"stop/after the end", stopAfterTheEnd},
		{"stop/right after start", stopRightAfterStart},
		{"stop/a shorter grace later", stopShorterGrace},
	}
}

// beganWith waits until the attempt has written something.
func (w *world) beganWith(ref backends.Ref, text string) {
	w.Helper()
	w.eventually("the log to hold "+text, func() bool { return strings.Contains(w.log(ref), text) })
}

func stopPolite(w *world) {
	ref := w.begin(w.attempt(`trap 'echo saved; exit 7' TERM; echo ready; while :; do sleep 0.05; done 2>/dev/null`))
	w.beganWith(ref, "ready")
	w.must(w.backend.Stop(w.context(), ref, 20*time.Second))
	w.expect(w.ended(ref), run.OutcomeCanceled, 7, "")
	if got := w.log(ref); got != "ready\nsaved\n" {
		w.Errorf("log %q", got)
	}
}

func stopIgnoringTerm(w *world) {
	ref := w.begin(w.attempt(`trap '' TERM; echo ready; while :; do sleep 0.05; done 2>/dev/null`))
	w.beganWith(ref, "ready")
	began := time.Now()
	w.must(w.backend.Stop(w.context(), ref, 500*time.Millisecond))
	w.expect(w.ended(ref), run.OutcomeCanceled, 137, "SIGKILL")
	if took := time.Since(began); took < 400*time.Millisecond || took > 20*time.Second {
		w.Errorf("took %v", took)
	}
}

// stopGrandchildren: those in a session of their own too.
func stopGrandchildren(w *world) {
	a := w.attempt(`(sleep 300 & setsid sleep 300 & setsid sh -c 'trap "" TERM; sleep 300; sleep 300' & wait) & echo ready; wait`)
	ref := w.begin(a)
	w.beganWith(ref, "ready")
	w.must(w.backend.Stop(w.context(), ref, 500*time.Millisecond))
	o := w.ended(ref)
	if o.Outcome != run.OutcomeCanceled {
		w.Errorf("seen: %s", describe(o))
	}
}

func stopTwice(w *world) {
	ref := w.begin(w.attempt(`trap 'sleep 0.3; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done 2>/dev/null`))
	w.beganWith(ref, "ready")
	for range 3 {
		w.must(w.backend.Stop(w.context(), ref, 20*time.Second))
	}
	w.expect(w.ended(ref), run.OutcomeCanceled, 0, "")
	w.must(w.backend.Stop(w.context(), ref, time.Second))
	if got := w.log(ref); got != "ready\nsaved\n" {
		w.Errorf("log %q", got)
	}
}

func stopAfterTheEnd(w *world) {
	ref, o := w.carryOut(w.attempt("exit 4"))
	w.expect(o, run.OutcomeScriptFailed, 4, "")
	w.must(w.backend.Stop(w.context(), ref, time.Second))
	w.expect(w.observe(ref), run.OutcomeScriptFailed, 4, "")
}

func stopRightAfterStart(w *world) {
	ref := w.begin(w.attempt("sleep 300"))
	w.must(w.backend.Stop(w.context(), ref, time.Second))
	if o := w.ended(ref); o.Outcome != run.OutcomeCanceled {
		w.Errorf("seen: %s", describe(o))
	}
}

// stopShorterGrace: who lost patience may say so.
func stopShorterGrace(w *world) {
	ref := w.begin(w.attempt(`trap '' TERM; echo ready; while :; do sleep 0.05; done 2>/dev/null`))
	w.beganWith(ref, "ready")
	w.must(w.backend.Stop(w.context(), ref, 10*time.Minute))
	w.must(w.backend.Stop(w.context(), ref, 100*time.Millisecond))
	w.expect(w.ended(ref), run.OutcomeCanceled, 137, "SIGKILL")
}
