package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// Update is the way to change a run. It loads the run inside the writer's
// transaction and gives it to change, which alters it in place and returns
// what to tell of it; then all of it is stored, or nothing: an error of change
// is returned as it is. change may not wait for anything and may run without
// its effect being kept (a full disk), so it does no I/O.
//
// Config and ResolvedEnvironment are nil in the run, here and in the result:
// they never change. A state changes in steps of the table in package run,
// and every step of the run's state has its event, with From and To; an event
// without both is a remark. Seq is given here. A run that ends needs an
// outcome and EndedAt, and loses its secrets. Breaking a rule gives a
// *ChangeError.
func (s *Store) Update(ctx context.Context, id string, change func(*run.Run) ([]run.Event, error)) (*run.Run, error) {
	var x *row
	err := s.w.doUrgent(ctx, func(t *writeTx) (err error) {
		if x, err = loadRun(ctx, t, id); err != nil {
			return err
		}
		return x.update(t, change)
	})
	if err != nil {
		return nil, err
	}
	return &x.run, nil
}

// RequestCancel records, once, the wish that the run ends, and returns the
// run. On a run that has ended, or has the wish already, it changes nothing.
func (s *Store) RequestCancel(ctx context.Context, id string, at time.Time) (*run.Run, error) {
	return s.Update(ctx, id, func(r *run.Run) ([]run.Event, error) {
		if r.State.Ended() || r.CancelRequestedAt != nil {
			return nil, nil
		}
		at = time.Unix(0, at.UnixNano()).UTC()
		r.CancelRequestedAt = &at
		return []run.Event{{Time: at, Attempt: len(r.Attempts), Why: "cancel requested"}}, nil
	})
}

// before is what a run was when change got it.
type before struct {
	id       string
	created  time.Time
	state    run.State
	values   []any
	states   []run.State
	attempts [][]any
}

func remember(r *run.Run) (before, error) {
	b := before{id: r.ID, created: r.CreatedAt, state: r.State}
	var err error
	if b.values, err = runValues(r); err != nil {
		return b, err
	}
	for i := range r.Attempts {
		v, err := attemptValues(&r.Attempts[i])
		if err != nil {
			return b, err
		}
		b.attempts = append(b.attempts, v)
		b.states = append(b.states, r.Attempts[i].State)
	}
	return b, nil
}

func (x *row) update(t *writeTx, change func(*run.Run) ([]run.Event, error)) error {
	r := &x.run
	was, err := remember(r)
	if err != nil {
		return err
	}
	events, err := change(r)
	if err != nil {
		return err
	}
	if err := was.check(r, events); err != nil {
		return &ChangeError{ID: was.id, Err: err}
	}
	for i := range events {
		e := &events[i]
		x.lastSeq++
		e.Seq = x.lastSeq
		if e.From == "" && e.To == "" {
			e.From, e.To = r.State, r.State
		}
		if err := insertEvent(t, x.n, *e); err != nil {
			return err
		}
	}
	changed, err := x.store(t, was, len(events) > 0)
	if err != nil || !changed {
		return err
	}
	if r.State.Ended() && !was.state.Ended() {
		if err := t.exec("DELETE FROM secrets WHERE run = ?", x.n); err != nil {
			return err
		}
	}
	t.news = append(t.news, Change{RunID: r.ID, Seq: x.lastSeq, State: r.State})
	return nil
}

// store writes the rows that differ and reports whether anything did.
func (x *row) store(t *writeTx, was before, changed bool) (bool, error) {
	values, err := runValues(&x.run)
	if err != nil {
		return false, err
	}
	if changed || !slices.Equal(values, was.values) {
		changed = true
		values = append(values, x.lastSeq, x.n)
		if err := t.exec("UPDATE runs SET "+runSet+", last_seq = ? WHERE n = ?", values...); err != nil {
			return false, err
		}
	}
	for i := range x.run.Attempts {
		values, err := attemptValues(&x.run.Attempts[i])
		if err != nil {
			return false, err
		}
		if i < len(was.attempts) && slices.Equal(values, was.attempts[i]) {
			continue
		}
		changed = true
		args := append([]any{x.n}, values...)
		err = t.exec("INSERT OR REPLACE INTO attempts (run, "+attemptColumns+
			") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", args...)
		if err != nil {
			return false, err
		}
	}
	return changed, nil
}

var (
	errIdentity     = errors.New("its id and time of submission stay as they are")
	errSpec         = errors.New("its spec and environment stay as they are")
	errAttemptGone  = errors.New("attempts are never taken away")
	errNoOutcome    = errors.New("it ended without an outcome")
	errNoEnd        = errors.New("it ended without the time of its end")
	errEventless    = errors.New("the events do not tell the change of state")
	errEventTime    = errors.New("an event has no time")
	errAttemptBegin = errors.New("a new attempt begins Queued or Preparing, with the next number")
)

// check holds a change against the rules.
func (b before) check(r *run.Run, events []run.Event) error {
	switch {
	case r.ID != b.id || !r.CreatedAt.Equal(b.created):
		return errIdentity
	case r.Config != nil || r.ResolvedEnvironment != nil:
		return errSpec
	case len(r.Attempts) < len(b.states):
		return errAttemptGone
	case r.State.Ended() && (r.Outcome == nil || !r.Outcome.Known()):
		return errNoOutcome
	case r.State.Ended() && r.EndedAt == nil:
		return errNoEnd
	}
	if err := checkSteps(b.state, r.State, events); err != nil {
		return err
	}
	for i, a := range r.Attempts {
		if a.Number != i+1 {
			return errAttemptBegin
		}
		if i >= len(b.states) {
			if a.State != run.Queued && a.State != run.Preparing {
				return fmt.Errorf("%w: %d is %s", errAttemptBegin, a.Number, a.State)
			}
			continue
		}
		if a.State == b.states[i] || follows(b.states[i], a.State, events) {
			continue
		}
		if err := run.Check(b.states[i], a.State); err != nil {
			return fmt.Errorf("attempt %d: %w", a.Number, err)
		}
	}
	return nil
}

// checkSteps sees that the events that are no remarks lead from one state of
// the run to the other in lawful steps.
func checkSteps(from, to run.State, events []run.Event) error {
	at := from
	for _, e := range events {
		if e.Time.IsZero() {
			return errEventTime
		}
		if e.From == e.To {
			continue
		}
		if e.From != at {
			return fmt.Errorf("%w: an event says from %s, the run is %s", errEventless, e.From, at)
		}
		if err := run.Check(e.From, e.To); err != nil {
			return err
		}
		at = e.To
	}
	if at == to {
		return nil
	}
	if err := run.Check(at, to); err != nil {
		return err
	}
	return fmt.Errorf("%w from %s to %s", errEventless, at, to)
}

// follows reports whether the steps that the run took bring an attempt from
// one state to the other: after a restart of the agent one update may tell
// several steps.
func follows(from, to run.State, events []run.Event) bool {
	at, met := from, false
	for _, e := range events {
		if e.From == at && e.To != at {
			at = e.To
			met = met || at == to
		}
	}
	return met
}
