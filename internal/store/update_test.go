package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

func event(from, to run.State) run.Event {
	return run.Event{Time: start, From: from, To: to, Why: "w"}
}

func TestUpdateAgainstTheRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*run.Run) []run.Event
		want   string // part of the error; empty: allowed
	}{
		{"a step with its event", func(r *run.Run) []run.Event {
			r.State = run.Starting
			return []run.Event{event(run.Preparing, run.Starting)}
		}, ""},
		{"several steps at once", func(r *run.Run) []run.Event {
			r.State, r.Attempts[0].State = run.Running, run.Running
			return []run.Event{event(run.Preparing, run.Starting), event(run.Starting, run.Running)}
		}, ""},
		{"a remark", func(*run.Run) []run.Event { return []run.Event{{Time: start, Why: "pulling"}} }, ""},
		{"no event", func(r *run.Run) []run.Event { r.State = run.Starting; return nil }, "do not tell the change of state"},
		{"events that end elsewhere", func(*run.Run) []run.Event {
			return []run.Event{event(run.Preparing, run.Starting)}
		}, "from Starting to Preparing"},
		{"events that begin elsewhere", func(r *run.Run) []run.Event {
			r.State = run.Running
			return []run.Event{event(run.Starting, run.Running)}
		}, "an event says from Starting, the run is Preparing"},
		{"no such step", func(r *run.Run) []run.Event {
			r.State = run.Running
			return []run.Event{event(run.Preparing, run.Running)}
		}, "a run cannot go from Preparing to Running"},
		{"no such step of the attempt", func(r *run.Run) []run.Event {
			r.Attempts[0].State = run.Completed
			return nil
		}, "attempt 1: a run cannot go from Preparing to Completed"},
		{"an event without a time", func(*run.Run) []run.Event { return []run.Event{{Why: "x"}} }, "no time"},
		{"another id", func(r *run.Run) []run.Event { r.ID = "x"; return nil }, "its id"},
		{"another time of submission", func(r *run.Run) []run.Event { r.CreatedAt = start.Add(1); return nil }, "its id"},
		{"another spec", func(r *run.Run) []run.Event { r.Config = &runconfig.ScriptRunConfig{}; return nil }, "its spec"},
		{"another environment", func(r *run.Run) []run.Event { r.ResolvedEnvironment = &environment.Resolved{}; return nil }, "its spec"},
		{"an attempt taken away", func(r *run.Run) []run.Event { r.Attempts = nil; return nil }, "never taken away"},
		{"an attempt with the wrong number", func(r *run.Run) []run.Event {
			r.Attempts = append(r.Attempts, run.Attempt{Number: 3, State: run.Preparing})
			return nil
		}, "a new attempt begins"},
		{"an attempt that begins in the middle", func(r *run.Run) []run.Event {
			r.Attempts = append(r.Attempts, run.Attempt{Number: 2, State: run.Running})
			return nil
		}, "2 is Running"},
		{"an end without an outcome", func(r *run.Run) []run.Event {
			r.State, r.EndedAt = run.Failed, ptr(start)
			return []run.Event{event(run.Preparing, run.Finalizing), event(run.Finalizing, run.Failed)}
		}, "without an outcome"},
		{"an end with an unknown outcome", func(r *run.Run) []run.Event {
			r.State, r.EndedAt, r.Outcome = run.Failed, ptr(start), ptr(run.Outcome("tired"))
			return []run.Event{event(run.Preparing, run.Finalizing), event(run.Finalizing, run.Failed)}
		}, "without an outcome"},
		{"an end without its time", func(r *run.Run) []run.Event {
			r.State, r.Outcome = run.Failed, ptr(run.OutcomeNodeLost)
			return []run.Event{event(run.Preparing, run.Finalizing), event(run.Finalizing, run.Failed)}
		}, "without the time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			id := create(t, s, newRun("iris-0000000001")).ID
			update(t, s, id, withAttempt(run.Preparing))
			before, err := s.Run(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Update(t.Context(), id, func(r *run.Run) ([]run.Event, error) { return tt.change(r), nil })
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var ce *store.ChangeError
			if !errors.As(err, &ce) || ce.ID != id || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			after, err := s.Run(t.Context(), id)
			if d := cmp.Diff(before, after); d != "" || err != nil {
				t.Error("a refused change left something:", d, err)
			}
			events, err := s.Events(t.Context(), id, 0)
			if len(events) != 2 || err != nil {
				t.Errorf("%v, %v", events, err)
			}
		})
	}
}

func TestErrorOfTheChangeComesBack(t *testing.T) {
	s := open(t)
	id := create(t, s, newRun("iris-0000000001")).ID
	mine := errors.New("mine")
	_, err := s.Update(t.Context(), id, func(r *run.Run) ([]run.Event, error) {
		r.Message = "changed"
		return []run.Event{{Time: start, Why: "x"}}, mine
	})
	if !errors.Is(err, mine) {
		t.Error(err)
	}
	if r, err := s.Run(t.Context(), id); err != nil || r.Message != "" {
		t.Errorf("%q, %v", r.Message, err)
	}
}

func TestUnknownRun(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	nothing := func(*run.Run) ([]run.Event, error) { return nil, nil }
	calls := map[string]func() error{
		"Run":           func() error { _, err := s.Run(ctx, "no"); return err },
		"Update":        func() error { _, err := s.Update(ctx, "no", nothing); return err },
		"RequestCancel": func() error { _, err := s.RequestCancel(ctx, "no", start); return err },
		"Events":        func() error { _, err := s.Events(ctx, "no", 0); return err },
		"Sealed":        func() error { _, err := s.Sealed(ctx, "no"); return err },
		"DeleteRun":     func() error { return s.DeleteRun(ctx, "no") },
		"PutLock":       func() error { return s.PutLock(ctx, "no", "x") },
		"Lock":          func() error { _, err := s.Lock(ctx, "no"); return err },
		"List":          func() error { _, err := s.List(ctx, store.Filter{Before: "no"}); return err },
		"Resolve":       func() error { _, err := s.Resolve(ctx, "no"); return err },
	}
	for name, call := range calls {
		var nf *store.NotFoundError
		if err := call(); !errors.As(err, &nf) || nf.Name != "no" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequestCancel(t *testing.T) {
	s := open(t)
	id := create(t, s, newRun("iris-0000000001")).ID
	for i := range 3 {
		r, err := s.RequestCancel(t.Context(), id, start.Add(time.Duration(i)*time.Second))
		if err != nil || r.CancelRequestedAt == nil || !r.CancelRequestedAt.Equal(start) {
			t.Fatalf("%v, %v", r, err)
		}
	}
	if events, err := s.Events(t.Context(), id, 1); err != nil || len(events) != 1 || events[0].Why != "cancel requested" {
		t.Errorf("%v, %v", events, err)
	}
	done := create(t, s, newRun("iris-0000000002")).ID
	finish(t, s, done)
	if r, err := s.RequestCancel(t.Context(), done, start); err != nil || r.CancelRequestedAt != nil {
		t.Errorf("%v, %v", r, err)
	}
}

func TestSecretsGoWhenTheRunEnds(t *testing.T) {
	s := open(t)
	want := map[string][]byte{"A": {0, 1, 255}, "EMPTY": {}}
	r, _, err := s.CreateRun(t.Context(), newRun("iris-0000000001"), "", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Sealed(t.Context(), r.ID)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	finish(t, s, r.ID)
	if got, err = s.Sealed(t.Context(), r.ID); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
}

func TestDeleteSecrets(t *testing.T) {
	s := open(t)
	for _, id := range []string{"iris-0000000001", "iris-0000000002"} {
		if _, _, err := s.CreateRun(t.Context(), newRun(id), "", map[string][]byte{"A": {1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteSecrets(t.Context(), "iris-0000000001"); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"iris-0000000001": 0, "iris-0000000002": 1} {
		if got, err := s.Sealed(t.Context(), id); len(got) != want || err != nil {
			t.Errorf("%s has %v, %v", id, got, err)
		}
	}
}

func TestDeleteRun(t *testing.T) {
	s := open(t)
	id := create(t, s, newRun("iris-0000000001")).ID
	var ne *store.NotEndedError
	if err := s.DeleteRun(t.Context(), id); !errors.As(err, &ne) {
		t.Errorf("a run that goes on: %v", err)
	}
	if err := s.PutLock(t.Context(), id, "numpy==2"); err != nil {
		t.Fatal(err)
	}
	finish(t, s, id)
	if err := s.DeleteRun(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	var nf *store.NotFoundError
	if _, err := s.Run(t.Context(), id); !errors.As(err, &nf) {
		t.Errorf("deleted: %v", err)
	}
	// What belonged to it is gone too, or the next one would inherit it.
	create(t, s, newRun(id))
	if events, err := s.Events(t.Context(), id, 0); len(events) != 1 || err != nil {
		t.Errorf("%v, %v", events, err)
	}
	if text, err := s.Lock(t.Context(), id); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
