package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// An attempt that had ended on a target which never comes back is not waited for
// for ever: it is told what it had been, and who canceled it wanted no more.
func TestOutputsOnATargetThatIsGoneAreGivenUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		ended   run.Outcome
		code    int
		state   run.State
		outcome run.Outcome
		message []string
	}{
		{
			"completed", run.OutcomeCompleted, 0, run.Failed, run.OutcomeTargetUnreachable,
			[]string{"its outputs and logs could not be brought home: the target was not reached for ", "; it had ended: completed"},
		},
		{
			"failed", run.OutcomeScriptFailed, 3, run.Failed, run.OutcomeTargetUnreachable,
			[]string{"could not be brought home", "it had ended: ", "exit code 3"},
		},
		{"canceled", run.OutcomeCanceled, 143, run.Canceled, run.OutcomeCanceled, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, newFakeTarget(1))
			h.target.collect = func() error { return unreachableError("no route to host") }
			r := h.submit(nil)
			h.until(r.ID, run.Running)
			h.target.end(attempt(r, 1), c.ended, c.code, "x\n")
			h.eventually("remark", func() bool {
				got, err := h.c.Run(t.Context(), r.ID)
				if err != nil {
					t.Fatal(err)
				}
				return got.State == run.Finalizing && strings.HasPrefix(got.Message, unreachableSince) && strings.Contains(got.Message, "no route to host")
			})
			h.ahead.Store(int64(DefaultUnreachableLimit + time.Minute))
			got := h.until(r.ID, c.state)
			if *got.Outcome != c.outcome || *got.ExitCode != c.code {
				t.Errorf("outcome %s, exit code %d", *got.Outcome, *got.ExitCode)
			}
			for _, words := range c.message {
				if !strings.Contains(got.Message, words) {
					t.Errorf("message %q lacks %q", got.Message, words)
				}
			}
		})
	}
}
