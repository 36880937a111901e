package run_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/run"
)

// lawful is the table again, as a person reads it in the picture of a life: a
// row for each state, a column for each state it may go to.
var lawful = map[run.State]string{
	//              Q P S R F C F C
	run.Queued:     ". x . . . . x x",
	run.Preparing:  ". . x . x . . .",
	run.Starting:   ". . . x x . . .",
	run.Running:    ". . . . x . . .",
	run.Finalizing: "x . . . . x x x",
	run.Completed:  ". . . . . . . .",
	run.Failed:     ". . . . . . . .",
	run.Canceled:   ". . . . . . . .",
}

func TestEveryTransition(t *testing.T) {
	if len(lawful) != len(run.States) {
		t.Fatalf("%d rows for %d states", len(lawful), len(run.States))
	}
	for _, from := range run.States {
		for i, to := range run.States {
			err := run.Check(from, to)
			if want := lawful[from][2*i] == 'x'; want != (err == nil) {
				t.Errorf("from %s to %s: lawful %v, Check says %v", from, to, want, err)
			}
			var te *run.TransitionError
			if err != nil && (!errors.As(err, &te) || te.From != from || te.To != to) {
				t.Errorf("from %s to %s: %#v", from, to, err)
			}
		}
	}
}

func TestUnknownStates(t *testing.T) {
	for _, s := range []run.State{"", "queued", "Paused", "Done"} {
		if s.Known() || s.Ended() || s.Holds() {
			t.Errorf("%q: known %v, ended %v, holds %v", s, s.Known(), s.Ended(), s.Holds())
		}
		for _, k := range run.States {
			if run.Check(s, k) == nil || run.Check(k, s) == nil {
				t.Errorf("%q and %s change into each other", s, k)
			}
		}
	}
}

func TestWhatAStateIs(t *testing.T) {
	type is struct{ ended, holds bool }
	want := map[run.State]is{
		run.Queued: {}, run.Preparing: {holds: true}, run.Starting: {holds: true}, run.Running: {holds: true},
		run.Finalizing: {holds: true}, run.Completed: {ended: true}, run.Failed: {ended: true}, run.Canceled: {ended: true},
	}
	for _, s := range run.States {
		if got := (is{s.Ended(), s.Holds()}); got != want[s] || !s.Known() {
			t.Errorf("%s: %+v, want %+v", s, got, want[s])
		}
	}
}

// TestLivesEnd: from everywhere a final state can be reached, and nothing
// leaves a final state.
func TestLivesEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(run.States).Draw(t, "state")
		for range 200 {
			var next []run.State
			for _, to := range run.States {
				if run.Check(s, to) == nil {
					next = append(next, to)
				}
			}
			if s.Ended() != (len(next) == 0) {
				t.Fatalf("%s leads to %v", s, next)
			}
			if s.Ended() {
				return
			}
			s = rapid.SampledFrom(next).Draw(t, "next")
		}
	})
}
