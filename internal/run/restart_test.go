package run_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

func ended(outcomes ...run.Outcome) []run.Attempt {
	all := make([]run.Attempt, len(outcomes))
	for i, o := range outcomes {
		all[i] = run.Attempt{Number: i + 1, State: o.Meaning().State, Outcome: &o}
	}
	return all
}

func TestDecide(t *testing.T) {
	two, none := 2, 0
	const (
		failed    = run.OutcomeScriptFailed
		preempted = run.OutcomePreempted
		lost      = run.OutcomeNodeLost
	)
	tests := []struct {
		name     string
		attempts []run.Outcome // the last is the one that just ended
		policy   runconfig.Restart
		canceled bool
		want     run.Decision
	}{
		{"completed", []run.Outcome{run.OutcomeCompleted}, runconfig.Restart{}, false, run.Decision{State: run.Completed, Why: "completed"}},
		{"completed although a cancel came", []run.Outcome{run.OutcomeCompleted}, runconfig.Restart{}, true, run.Decision{State: run.Completed, Why: "completed"}},
		{"script failed, nothing said", []run.Outcome{failed}, runconfig.Restart{}, false, run.Decision{State: run.Failed, Why: "the script failed"}},
		{"script failed, two allowed", []run.Outcome{failed}, runconfig.Restart{Failed: &two}, false, run.Decision{Restart: true, State: run.Queued, Why: "restart 1 of 2: the script failed"}},
		{"out of memory draws from the same", []run.Outcome{failed, run.OutcomeOutOfMemory}, runconfig.Restart{Failed: &two}, false, run.Decision{Restart: true, State: run.Queued, Why: "restart 2 of 2: out of memory"}},
		{"used up", []run.Outcome{failed, failed, run.OutcomeTimedOut}, runconfig.Restart{Failed: &two}, false, run.Decision{State: run.Failed, Why: "ran longer than max_run_duration"}},
		{"preempted restarts by itself", []run.Outcome{preempted}, runconfig.Restart{}, false, run.Decision{Restart: true, State: run.Queued, Why: "restart 1 of 10: preempted"}},
		{"node lost, too", []run.Outcome{preempted, lost}, runconfig.Restart{}, false, run.Decision{Restart: true, State: run.Queued, Why: "restart 2 of 10: its machine was lost"}},
		{"preempted, none allowed", []run.Outcome{preempted}, runconfig.Restart{Preempted: &none}, false, run.Decision{State: run.Failed, Why: "preempted, with no restart left"}},
		{"preempted does not use up failed", []run.Outcome{preempted, preempted, lost, failed}, runconfig.Restart{Failed: &two}, false, run.Decision{Restart: true, State: run.Queued, Why: "restart 1 of 2: the script failed"}},
		{"failed does not use up preempted", []run.Outcome{failed, failed, preempted}, runconfig.Restart{Failed: &two, Preempted: &two}, false, run.Decision{Restart: true, State: run.Queued, Why: "restart 1 of 2: preempted"}},
		{"a cancel overrides a restart", []run.Outcome{preempted}, runconfig.Restart{}, true, run.Decision{State: run.Canceled, Why: "canceled"}},
		{"canceled", []run.Outcome{run.OutcomeCanceled}, runconfig.Restart{Failed: &two}, true, run.Decision{State: run.Canceled, Why: "canceled"}},
		{"environment failed", []run.Outcome{run.OutcomeEnvironmentFailed}, runconfig.Restart{Failed: &two}, false, run.Decision{State: run.Failed, Why: "the environment could not be made"}},
		{"target unreachable", []run.Outcome{run.OutcomeTargetUnreachable}, runconfig.Restart{Failed: &two}, false, run.Decision{State: run.Failed, Why: "the compute target could not be reached"}},
		{"internal error", []run.Outcome{run.OutcomeInternalError}, runconfig.Restart{Failed: &two}, false, run.Decision{State: run.Failed, Why: "internal error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := run.Decide(ended(tt.attempts...), tt.attempts[len(tt.attempts)-1], tt.policy, tt.canceled)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func genPolicy(t *rapid.T) (p runconfig.Restart, preempted, failed int) {
	preempted = run.DefaultPreemptedRestarts
	if rapid.Bool().Draw(t, "says preempted") {
		preempted = rapid.IntRange(0, 4).Draw(t, "preempted")
		p.Preempted = &preempted
	}
	if rapid.Bool().Draw(t, "says failed") {
		failed = rapid.IntRange(0, 4).Draw(t, "failed")
		p.Failed = &failed
	}
	return p, preempted, failed
}

// TestBudgetsOfAWholeLife carries a run out, attempt by attempt, with any
// outcomes: it restarts exactly as often as each budget allows.
func TestBudgetsOfAWholeLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy, preempted, failed := genPolicy(t)
		left := map[run.Budget]int{run.PreemptedBudget: preempted, run.FailedBudget: failed}
		var outcomes []run.Outcome
		for {
			o := rapid.SampledFrom(run.Outcomes()).Draw(t, "outcome")
			outcomes = append(outcomes, o)
			canceled := rapid.IntRange(0, 9).Draw(t, "canceled") == 0
			d := run.Decide(ended(outcomes...), o, policy, canceled)
			b := o.Meaning().Budget
			want := !canceled && b != run.NoBudget && left[b] > 0
			if d.Restart != want {
				t.Fatalf("after %v (canceled %v, left %v): %+v", outcomes, canceled, left, d)
			}
			if d.Why == "" || d.Restart != (d.State == run.Queued) || !d.Restart && !d.State.Ended() {
				t.Fatalf("a decision that does not fit together: %+v", d)
			}
			if err := run.Check(run.Finalizing, d.State); err != nil {
				t.Fatal(err)
			}
			if !d.Restart {
				return
			}
			left[b]--
		}
	})
}

func TestNeverAfterACancelOrAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy, _, _ := genPolicy(t)
		outcomes := rapid.SliceOfN(rapid.SampledFrom(run.Outcomes()), 1, 12).Draw(t, "outcomes")
		last := outcomes[len(outcomes)-1]
		if d := run.Decide(ended(outcomes...), last, policy, true); d.Restart {
			t.Fatalf("restarted after a cancel: %+v", d)
		}
		for _, o := range []run.Outcome{run.OutcomeCompleted, run.OutcomeCanceled, run.OutcomeEnvironmentFailed} {
			if d := run.Decide(ended(append(outcomes, o)...), o, policy, false); d.Restart || d.State != o.Meaning().State {
				t.Fatalf("after %s: %+v", o, d)
			}
		}
	})
}

func TestLast(t *testing.T) {
	r := run.Run{}
	if r.Last() != nil {
		t.Error("a last attempt of none")
	}
	r.Attempts = ended(run.OutcomePreempted, run.OutcomeCompleted)
	r.Last().Node = "n"
	if r.Attempts[1].Node != "n" || r.Last().Number != 2 {
		t.Errorf("%+v", r.Attempts)
	}
}
