package run_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
)

func TestOutcomesAreTheContractsList(t *testing.T) {
	want := []run.Outcome{
		"canceled", "completed", "environment_failed", "internal_error", "node_lost", "out_of_memory", "preempted",
		"script_failed", "target_unreachable", "timed_out",
	}
	if d := cmp.Diff(want, run.Outcomes()); d != "" {
		t.Error(d)
	}
}

func TestMeaningOfEveryOutcome(t *testing.T) {
	type meaning struct {
		State  run.State
		Budget run.Budget
		Exit   int
		Hint   bool
	}
	want := map[run.Outcome]meaning{
		run.OutcomeCompleted:         {run.Completed, run.NoBudget, 0, false},
		run.OutcomeScriptFailed:      {run.Failed, run.FailedBudget, 1, false},
		run.OutcomeOutOfMemory:       {run.Failed, run.FailedBudget, 1, true},
		run.OutcomeTimedOut:          {run.Failed, run.FailedBudget, 1, true},
		run.OutcomeCanceled:          {run.Canceled, run.NoBudget, 130, false},
		run.OutcomePreempted:         {run.Failed, run.PreemptedBudget, 1, true},
		run.OutcomeNodeLost:          {run.Failed, run.PreemptedBudget, 1, true},
		run.OutcomeEnvironmentFailed: {run.Failed, run.NoBudget, 4, true},
		run.OutcomeTargetUnreachable: {run.Failed, run.NoBudget, 3, true},
		run.OutcomeInternalError:     {run.Failed, run.NoBudget, 5, true},
	}
	got := map[run.Outcome]meaning{}
	for _, o := range run.Outcomes() {
		m := o.Meaning()
		got[o] = meaning{m.State, m.Budget, m.Exit, m.Hint != ""}
		if m.Words == "" || !m.State.Ended() {
			t.Errorf("%s: %+v", o, m)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestUnknownOutcomeIsAnInternalError(t *testing.T) {
	for _, o := range []run.Outcome{"", "failed", "Completed"} {
		if o.Known() || slices.Contains(run.Outcomes(), o) {
			t.Errorf("%q is known", o)
		}
		if d := cmp.Diff(run.OutcomeInternalError.Meaning(), o.Meaning()); d != "" {
			t.Errorf("%q: %s", o, d)
		}
	}
}
