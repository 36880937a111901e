package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

// ending is how an attempt ended.
type ending struct {
	outcome  run.Outcome
	exitCode *int
	signal   string
	message  string
	at       time.Time // zero: now
}

// stopped is the end of an attempt that was told to stop before it began.
func stopped(r *run.Run) ending {
	o := stopOutcome(r)
	return ending{outcome: o, message: fmt.Sprintf("%s before the script began", o)}
}

// endingOf is the end that a target saw. When Stop ended the attempt, whoever
// asked for it says what for.
func endingOf(r *run.Run, o backends.Observation) ending {
	e := ending{outcome: o.Outcome, exitCode: o.ExitCode, signal: o.Signal, message: o.Reason, at: o.EndedAt}
	if o.Outcome == run.OutcomeCanceled && stopWished(r) {
		e.outcome = stopOutcome(r)
		e.message = string(e.outcome)
	}
	if e.message == "" {
		e.message = e.words()
	}
	return e
}

func (e ending) words() string {
	w := e.outcome.Meaning().Words
	switch {
	case e.outcome == run.OutcomeCompleted:
		return w
	case e.signal != "":
		return fmt.Sprintf("%s: %s", w, e.signal)
	case e.exitCode != nil:
		return fmt.Sprintf("%s: exit code %d", w, *e.exitCode)
	}
	return w
}

// finish takes an attempt to Finalizing: it ended, and what it left is yet to
// be brought home.
func (d *driver) finish(ctx context.Context, r *run.Run, e ending) (*run.Run, error) {
	at := e.at.UTC()
	if e.at.IsZero() {
		at = d.c.now().UTC()
	}
	first, _, _ := strings.Cut(e.message, "\n")
	return d.advanceAt(ctx, r, run.Finalizing, at, first, func(a *run.Attempt) {
		a.Outcome, a.ExitCode, a.Signal, a.Message, a.EndedAt = &e.outcome, e.exitCode, e.signal, e.message, &at
	})
}

// advance changes the state of a run and of its last attempt in one commit.
func (d *driver) advance(ctx context.Context, r *run.Run, to run.State, why string, change func(*run.Attempt)) (*run.Run, error) {
	return d.advanceAt(ctx, r, to, d.c.now().UTC(), why, change)
}

// advanceAt is advance for a change that happened at a time which the target
// tells: perhaps while nobody looked.
func (d *driver) advanceAt(
	ctx context.Context, r *run.Run, to run.State, at time.Time, why string, change func(*run.Attempt),
) (*run.Run, error) {
	number := r.Last().Number
	now := d.c.now().UTC()
	if granted := r.Last().GrantedAt; at.After(now) || granted != nil && at.Before(*granted) {
		at = now // the target's clock is not ours
	}
	next, err := d.c.update(ctx, d.id, func(r *run.Run) ([]run.Event, error) {
		a := r.Last()
		if a == nil || a.Number != number {
			return nil, fmt.Errorf("attempt %d is no longer the last one", number)
		}
		from := r.State
		change(a)
		a.State, r.State, r.Message = to, to, ""
		if a.StartedAt != nil && r.StartedAt == nil {
			r.StartedAt = a.StartedAt
		}
		return []run.Event{{Time: at, Attempt: number, From: from, To: to, Why: why}}, nil
	})
	if err != nil {
		return r, err
	}
	return next, nil
}

// finalize brings home what the attempt left, removes it from the target, and
// decides what follows.
func (d *driver) finalize(ctx context.Context, r *run.Run) (*run.Run, error) {
	a := r.Last()
	lost := a.Outcome != nil && *a.Outcome == run.OutcomeTargetUnreachable
	if lost && d.t.away() != "" { // it was waited for already
		return d.leaveBehind(ctx, r)
	}
	if !a.Collected {
		next, err := d.bringHome(ctx, r)
		switch {
		case err == nil:
		case isStoreDown(err), ctx.Err() != nil: // the target is not to blame
			return r, err
		case lost:
			d.log.Warn("nothing could be brought home from a target that was given up", "error", err)
			return d.leaveBehind(ctx, r)
		case d.silentTooLong(r, err):
			if r, err = d.loseOutputs(ctx, r, fmt.Sprintf("the target was not reached for %s", short(d.c.unreachableLimit))); err != nil {
				return r, err
			}
			return d.leaveBehind(ctx, r)
		default:
			return r, err
		}
		r = next
	}
	if err := d.t.backend.Release(ctx, ref(r)); err != nil {
		if ctx.Err() == nil && (lost || d.silentTooLong(r, err)) {
			return d.leaveBehind(ctx, r)
		}
		return r, fmt.Errorf("clean up on the target: %w", err)
	}
	return d.deliver(ctx, r)
}

// leaveBehind concludes without having cleaned up on the target: the sweep does
// when it is there again.
func (d *driver) leaveBehind(ctx context.Context, r *run.Run) (*run.Run, error) {
	r, err := d.deliver(ctx, r)
	d.t.leaveBehind()
	return r, err
}

// silentTooLong reports whether err is a target that could not be reached for
// the whole limit.
func (d *driver) silentTooLong(r *run.Run, err error) bool {
	return backends.OutcomeOf(err) == run.OutcomeTargetUnreachable &&
		!d.failing.IsZero() && d.c.now().Sub(d.t.silentSince(d.failing, r)) >= d.c.unreachableLimit
}

// loseOutputs notes that a target has gone with what an attempt left which had
// ended there: how it ended is kept in words. Who canceled it wanted nothing.
func (d *driver) loseOutputs(ctx context.Context, r *run.Run, why string) (*run.Run, error) {
	number := r.Last().Number
	next, err := d.c.update(ctx, d.id, func(r *run.Run) ([]run.Event, error) {
		a := r.Last()
		if a.Number != number || a.Outcome == nil {
			return nil, errNoChange
		}
		words := "its outputs and logs could not be brought home: " + why
		if *a.Outcome != run.OutcomeCanceled {
			a.Message = fmt.Sprintf("%s; it had ended: %s", words, a.Message)
			*a.Outcome = run.OutcomeTargetUnreachable
		}
		return []run.Event{d.c.event(number, r.State, r.State, words)}, nil
	})
	if isNoChange(err) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return next, nil
}

// loseResults is what becomes of an attempt that had ended on a target which is
// given up: what is not home stays there, and what is goes nowhere else.
func (d *driver) loseResults(ctx context.Context, r *run.Run, why string) (_ *run.Run, notes []string, err error) {
	a := r.Last()
	if !a.Collected && a.Outcome != nil && *a.Outcome != run.OutcomeTargetUnreachable {
		r, err = d.loseOutputs(ctx, r, why)
		return r, nil, err
	}
	if a.Collected && len(d.spec.config.Outputs.Named) > 0 {
		notes = append(notes, "its named outputs are not uploaded: "+why)
	}
	return r, notes, nil
}

// bringHome collects what the attempt left.
func (d *driver) bringHome(ctx context.Context, r *run.Run) (*run.Run, error) {
	givenUp := ""
	sink, err := d.c.attemptFolder(d.spec.config, d.id, r.Last().Number)
	if err == nil {
		err = d.saveLast(ctx, r)
	}
	if err == nil {
		err = d.t.backend.Collect(ctx, ref(r), sink)
	}
	if errors.Is(err, backends.ErrStillRuns) {
		// A Start that failed after its effect: what it began is not wanted.
		stopErr := d.t.backend.Stop(ctx, ref(r), time.Duration(d.spec.config.Grace))
		return r, fmt.Errorf("bring outputs and logs home: %w", errors.Join(err, stopErr))
	} else if err != nil {
		if !d.mayGiveUp(r) {
			return r, fmt.Errorf("bring outputs and logs home: %w", err)
		}
		givenUp = "canceled before its outputs could be brought home: " + err.Error()
		d.log.Warn("a canceled run's outputs are given up", "error", err)
	}
	return d.c.update(ctx, d.id, func(r *run.Run) ([]run.Event, error) {
		r.Last().Collected = true
		if givenUp == "" {
			return nil, nil
		}
		return []run.Event{d.c.event(r.Last().Number, r.State, r.State, givenUp)}, nil
	})
}

// mayGiveUp reports whether somebody canceled the run while its outputs could
// not be brought home, and has given that a little time.
func (d *driver) mayGiveUp(r *run.Run) bool {
	a := r.Last()
	return r.CancelRequestedAt != nil && a.EndedAt != nil && r.CancelRequestedAt.After(*a.EndedAt) &&
		!d.failing.IsZero() && d.c.now().Sub(*r.CancelRequestedAt) >= cancelPatience
}

// conclude ends the run, or sends it back to the queue for another attempt. The
// notes are told first.
func (d *driver) conclude(ctx context.Context, notes []string) (*run.Run, error) {
	var decision run.Decision
	var outcome run.Outcome
	r, err := d.c.update(ctx, d.id, func(r *run.Run) ([]run.Event, error) {
		a := r.Last()
		outcome = *a.Outcome
		decision = run.Decide(r.Attempts, outcome, d.spec.config.Restart, r.CancelRequestedAt != nil)
		a.State = outcome.Meaning().State
		var events []run.Event
		for _, note := range notes {
			events = append(events, d.c.event(a.Number, run.Finalizing, run.Finalizing, note))
		}
		if decision.Restart {
			r.State, r.Message = run.Queued, decision.Why
			return append(events, d.c.event(a.Number, run.Finalizing, run.Queued, decision.Why)), nil
		}
		if decision.State == run.Canceled {
			outcome = run.OutcomeCanceled
		}
		return append(events, d.c.end(r, decision.State, outcome, a.Message)...), nil
	})
	if err != nil {
		return r, err
	}
	if decision.Restart {
		d.c.metrics.Restarted(outcome)
	} else {
		d.c.metrics.Ended(outcome, d.c.now().Sub(r.CreatedAt))
	}
	return r, nil
}

// end writes the end of a run into it and gives the event that tells it.
func (c *Controller) end(r *run.Run, state run.State, outcome run.Outcome, message string) []run.Event {
	now := c.now().UTC()
	from, number := r.State, 0
	if a := r.Last(); a != nil {
		number = a.Number
		r.ExitCode, r.Signal = a.ExitCode, a.Signal
	}
	r.State, r.Outcome, r.Message, r.EndedAt = state, &outcome, message, &now
	first, _, _ := strings.Cut(message, "\n")
	return []run.Event{c.event(number, from, state, first)}
}

// short renders a duration for a person.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
