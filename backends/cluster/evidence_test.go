package cluster

import (
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

// What a supervisor says of an end, and what the engine says, together.
func TestEnd(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	script := func(code int, terminated bool) supervise.Status {
		return supervise.Status{Phase: supervise.Ended, Cause: supervise.Exited, ExitCode: code, Terminated: terminated, EndedAt: at.Add(600 * time.Millisecond)}
	}
	job := func(p Phase, outcome run.Outcome, ended time.Time) *State {
		return &State{ID: "7", Phase: p, Word: "WORD", Outcome: outcome, EndedAt: ended}
	}
	for _, c := range []struct {
		name    string
		sup     supervise.Status
		job     *State
		phase   backends.Phase
		outcome run.Outcome
	}{
		{"ended well, its job is there", script(0, false), job(Running, "", time.Time{}), backends.Ended, run.OutcomeCompleted},
		{"ended well, its job too", script(0, false), job(Ended, "", at.Add(time.Second)), backends.Ended, run.OutcomeCompleted},
		{"ended well, the engine knows nothing", script(0, false), nil, backends.Ended, run.OutcomeCompleted},
		{"ended well, then canceled", script(0, false), job(Ended, run.OutcomeCanceled, at.Add(time.Second)), backends.Ended, run.OutcomeCompleted},
		{"canceled, and what it waited for was ended first", script(0, false), job(Ended, run.OutcomeCanceled, at), backends.Ended, run.OutcomeCanceled},
		{"preempted, and what it waited for was ended first", script(0, false), job(Ended, run.OutcomePreempted, at), backends.Ended, run.OutcomePreempted},
		{"told to end, did so well", script(0, true), job(Ended, run.OutcomePreempted, at.Add(time.Second)), backends.Ended, run.OutcomePreempted},
		{"told to end, by nobody known", script(0, true), job(Ended, "", at), backends.Ended, run.OutcomeNodeLost},
		{"failed", script(3, false), job(Ended, "", at), backends.Ended, run.OutcomeScriptFailed},
		{"failed, the engine had a hand in it", script(143, false), job(Ended, run.OutcomePreempted, at.Add(time.Second)), backends.Ended, run.OutcomePreempted},
		{"failed, its job is there", script(3, false), job(Running, "", time.Time{}), backends.Running, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := evidence{sup: c.sup, job: c.job, now: at.Add(time.Minute)}.observation()
			if got.Phase != c.phase || got.Outcome != c.outcome {
				t.Errorf("%s %s, want %s %s", got.Phase, got.Outcome, c.phase, c.outcome)
			}
		})
	}
}
