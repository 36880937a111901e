package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

// prepare makes source and environment ready.
func (d *driver) prepare(ctx context.Context, r *run.Run) (*run.Run, error) {
	if stopWished(r) {
		return d.finish(ctx, r, stopped(r))
	}
	a, err := d.attempt(ctx, r)
	if err != nil {
		return r, err
	}
	if a.Config, err = d.c.placeInputsOfRuns(ctx, a.Config); err != nil {
		if gone, ok := errors.AsType[*NoInputError](err); ok {
			err = &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: err, Hint: gone.Hint}
		}
		return d.stepFailed(ctx, r, err)
	}
	began := d.c.now()
	pctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.stop, cancel)()
	keeper, _ := d.t.backend.(backends.EnvironmentKeeper)
	had := keeper == nil || a.Environment == nil
	if !had {
		had, _ = keeper.HasEnvironment(pctx, a.Environment)
	}
	if err := d.restore(pctx, r); isStoreDown(err) && d.stop.Err() == nil {
		return r, err // which is waited for
	} else if err != nil {
		return d.stepFailed(ctx, r, err)
	}
	err = d.t.backend.Prepare(pctx, a, func(s backends.Step) {
		d.c.live.setProgress(d.id, progressOf(s))
	})
	if err != nil {
		return d.stepFailed(ctx, r, err)
	}
	took := d.c.now().Sub(began)
	if !had {
		d.c.metrics.EnvironmentMade(string(a.Environment.Kind), took)
	}
	d.c.metrics.Prepared(took)
	if keeper != nil && a.Environment != nil {
		if err := d.keepLock(ctx, keeper, a); err != nil {
			return r, err
		}
	}
	why := fmt.Sprintf("source and environment are ready (%s)", short(took))
	return d.advance(ctx, r, run.Starting, why, func(*run.Attempt) {})
}

// keepLock keeps the exact versions of the environment with the run.
func (d *driver) keepLock(ctx context.Context, k backends.EnvironmentKeeper, a backends.Attempt) error {
	text, err := k.EnvironmentLock(ctx, a.Environment)
	if err != nil {
		return fmt.Errorf("read the environment's lock: %w", err)
	}
	if text == "" {
		return nil
	}
	if err := d.c.store.PutLock(ctx, d.id, text); err != nil {
		return fmt.Errorf("keep the environment's lock: %w", err)
	}
	return nil
}

// start begins the attempt, or finds it begun.
func (d *driver) start(ctx context.Context, r *run.Run) (*run.Run, error) {
	h := backends.Handle(r.Last().Handle)
	switch {
	case h != "":
	case stopWished(r):
		// Start's answer may have been lost: only the target knows.
		seen, err := d.t.backend.Observe(ctx, []backends.Ref{ref(r)})
		if err != nil {
			return d.stepFailed(ctx, r, err)
		}
		if seen[0].Phase == backends.Absent {
			return d.finish(ctx, r, stopped(r))
		}
		h = seen[0].Handle
	default:
		a, err := d.attempt(ctx, r)
		if err != nil {
			return r, err
		}
		if h, err = d.t.backend.Start(ctx, a); err != nil {
			return d.stepFailed(ctx, r, err)
		}
	}
	at := ref(r)
	at.Handle = h
	seen, err := d.t.backend.Observe(ctx, []backends.Ref{at})
	if err == nil && neverBegan(seen[0]) {
		return d.finish(ctx, r, endingOf(r, seen[0]))
	}
	if err == nil && (seen[0].Phase == backends.Running || seen[0].Phase == backends.Ended) {
		return d.running(ctx, r, h, seen[0])
	}
	if r.Last().Handle != string(h) {
		if r, err = d.c.update(ctx, d.id, func(r *run.Run) ([]run.Event, error) {
			r.Last().Handle = string(h)
			return nil, nil
		}); err != nil {
			return r, err
		}
	}
	return d.follow(ctx, r)
}

// neverBegan tells an attempt whose program could not even be started.
func neverBegan(o backends.Observation) bool {
	return o.Phase == backends.Ended && o.Outcome == run.OutcomeEnvironmentFailed && o.ExitCode == nil && o.Signal == ""
}

// running notes that the script has begun.
func (d *driver) running(ctx context.Context, r *run.Run, h backends.Handle, o backends.Observation) (*run.Run, error) {
	at := o.StartedAt.UTC()
	if o.StartedAt.IsZero() {
		at = d.c.now().UTC()
	}
	why := "the script runs"
	if o.Node != "" {
		why += " on " + o.Node
	}
	return d.advanceAt(ctx, r, run.Running, at, why, func(a *run.Attempt) {
		a.Handle, a.Node, a.StartedAt = string(h), o.Node, &at
	})
}

// follow waits for the end of a started attempt.
func (d *driver) follow(ctx context.Context, r *run.Run) (*run.Run, error) {
	sightings, done := d.t.observer.expect(ref(r))
	defer done()
	defer d.saveLive(ctx, r)()
	var silent time.Time // since when the target has not answered
	wished := d.stop.Done()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-wished:
			wished = nil
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			fresh, err := d.load(ctx)
			if err != nil {
				return r, err
			}
			r = fresh
			again.Reset(d.askStop(ctx, r))
		case <-again.C:
			if d.stop.Err() != nil {
				again.Reset(d.askStop(ctx, r))
			} else {
				again.Reset(time.Hour)
			}
		case s := <-sightings:
			next, moved, err := d.sighted(ctx, r, s, &silent)
			if moved || err != nil {
				return next, err
			}
			r = next
		}
	}
}

// askStop passes the wish to stop on to the target, and says when to do so again.
func (d *driver) askStop(ctx context.Context, r *run.Run) time.Duration {
	grace := time.Duration(d.spec.config.Grace)
	if err := d.t.backend.Stop(ctx, ref(r), grace); err != nil {
		d.log.Warn("the attempt could not be told to stop; trying again", "error", err)
		d.c.live.setRemark(d.id, fmt.Sprintf("cannot be told to stop: %v", err))
		return time.Second
	}
	d.c.live.setRemark(d.id, fmt.Sprintf("told to stop; killed after %s", short(grace)))
	return grace + 15*time.Second
}

// sighted acts on what the target says. moved tells that the state changed.
func (d *driver) sighted(ctx context.Context, r *run.Run, s sighting, silent *time.Time) (_ *run.Run, moved bool, _ error) {
	if s.Err != nil || s.Phase == backends.Unknown {
		return d.silence(ctx, r, s, silent)
	}
	if !silent.IsZero() {
		*silent = time.Time{}
		d.c.live.setRemark(d.id, "")
	}
	if s.Story != "" {
		next, err := d.tell(ctx, r, s.Story)
		if err != nil {
			return r, false, err
		}
		r = next
	}
	switch s.Phase {
	case backends.Pending:
		d.c.live.setRemark(d.id, s.Reason)
		return r, false, nil
	case backends.Running:
		if s.Adrift {
			d.resume(ctx, r)
		}
		if r.State == run.Starting {
			next, err := d.running(ctx, r, ref(r).Handle, s.Observation)
			return next, true, err
		}
		return r, false, nil
	case backends.Ended:
		if r.State == run.Starting && !neverBegan(s.Observation) {
			var err error
			if r, err = d.running(ctx, r, ref(r).Handle, s.Observation); err != nil {
				return r, true, err
			}
		}
		next, err := d.finish(ctx, r, endingOf(r, s.Observation))
		return next, true, err
	case backends.Absent:
		next, err := d.finish(ctx, r, ending{
			outcome: run.OutcomeInternalError, message: "vanished from the target: nothing of it is left there",
		})
		return next, true, err
	case backends.Unknown:
	}
	return r, false, nil
}

// tell adds to the run's story what the target says of its last attempt, once.
func (d *driver) tell(ctx context.Context, r *run.Run, story string) (*run.Run, error) {
	number := r.Last().Number
	told := fmt.Sprint(number, " ", story)
	if d.told == told {
		return r, nil
	}
	events, err := d.c.store.Events(ctx, d.id, 0) // told before we were
	if err != nil {
		return r, fmt.Errorf("read the run's story: %w", err)
	}
	same := func(e run.Event) bool { return e.Attempt == number && e.Why == story }
	if !slices.ContainsFunc(events, same) {
		r, err = d.c.update(ctx, d.id, func(r *run.Run) ([]run.Event, error) {
			return []run.Event{d.c.event(number, r.State, r.State, story)}, nil
		})
		if err != nil {
			return r, err
		}
	}
	d.told = told
	return r, nil
}

// resume has an attempt followed again that is adrift. What fails is tried again
// when it is seen the next time.
func (d *driver) resume(ctx context.Context, r *run.Run) {
	b, ok := d.t.backend.(backends.Resumer)
	if !ok {
		return
	}
	a, err := d.attempt(ctx, r)
	if err == nil {
		err = b.Resume(ctx, a)
	}
	if err != nil {
		d.log.Warn("nobody follows the attempt on its target; trying again", "error", err)
		d.c.live.setRemark(d.id, fmt.Sprintf("nobody follows it on its target: %v", err))
		return
	}
	d.log.Info("the attempt was adrift and is followed again", "attempt", a.Number)
	d.c.live.setRemark(d.id, "")
}

// silence is a target that cannot tell: that changes no run's state until it
// lasts longer than the limit.
func (d *driver) silence(ctx context.Context, r *run.Run, s sighting, silent *time.Time) (*run.Run, bool, error) {
	now := d.c.now()
	if silent.IsZero() {
		*silent = d.t.silentSince(now, r)
	}
	why := s.Reason
	if s.Err != nil {
		why = s.Err.Error()
	}
	text := d.t.away() // it may have been silent before it was asked
	if text == "" {
		text = unreachableWords(*silent, now, why)
	}
	if now.Sub(*silent) >= d.c.unreachableLimit {
		next, err := d.finish(ctx, r, ending{outcome: run.OutcomeTargetUnreachable, message: text})
		return next, true, err
	}
	d.c.live.setRemark(d.id, text)
	return r, false, nil
}

// stepFailed decides what an error of Prepare or Start means: the attempt's
// end, or another try.
func (d *driver) stepFailed(ctx context.Context, r *run.Run, err error) (*run.Run, error) {
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if d.stop.Err() != nil {
		fresh, loadErr := d.load(ctx)
		if loadErr != nil {
			return r, loadErr
		}
		return d.finish(ctx, fresh, stopped(fresh))
	}
	patience := d.c.unreachableLimit
	if backends.OutcomeOf(err) == run.OutcomeEnvironmentFailed {
		patience = min(patience, environmentPatience)
	}
	since := d.failing
	if backends.OutcomeOf(err) == run.OutcomeTargetUnreachable {
		since = d.t.silentSince(since, r)
	}
	lasting := !d.failing.IsZero() && d.c.now().Sub(since) >= patience
	if backends.IsTemporary(err) && !lasting {
		return r, err
	}
	e := ending{outcome: backends.OutcomeOf(err), message: err.Error()}
	if hint := backends.HintOf(err); hint != "" {
		e.message += "\nhint: " + hint
	}
	if f, ok := errors.AsType[*backends.Failure](err); !ok {
		d.log.Error("a step failed for a reason of ours", "error", err)
	} else if f.Outcome == run.OutcomeInternalError {
		d.log.Error("a step failed", "error", err)
	}
	return d.finish(ctx, r, e)
}
