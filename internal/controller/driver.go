package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// driver takes the steps of one run while it holds a slot.
type driver struct {
	c   *Controller
	t   *target
	id  string
	log *slog.Logger
	// stop ends when somebody wished the run, or its attempt, to end.
	stop    context.Context //nolint:containedctx // a wish that arrives while a step runs
	wish    context.CancelFunc
	failing time.Time // since when steps have failed; zero: they do not
	spec    spec
	// told is the number of the attempt and what was told of it last.
	told string
}

// spec is the part of a run that never changes and that the store gives only
// with a whole run.
type spec struct {
	config *runconfig.ScriptRunConfig
	env    *environment.Resolved
}

// drive makes sure that a run which holds a slot has a driver.
func (c *Controller) drive(t *target, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drivers[id] != nil || t.ctx.Err() != nil {
		return
	}
	d := &driver{c: c, t: t, id: id, log: c.log.With("run", id, "target", t.name)}
	d.stop, d.wish = context.WithCancel(t.ctx)
	c.drivers[id] = d
	t.group.Go(func() { d.loop(t.ctx) })
}

// tellStop passes a stored wish to stop on to the run's driver, if it has one.
// One that begins later reads the wish in the store.
func (c *Controller) tellStop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.drivers[id]; d != nil {
		d.wish()
	}
}

// loop takes steps until the run holds no slot any more, or the target's
// backend is closed.
func (d *driver) loop(ctx context.Context) {
	defer d.forget()
	defer d.wish()
	pause := retryDelay
	for {
		r, err := d.load(ctx)
		for err == nil && r.State.Holds() {
			if stopWished(r) {
				d.wish()
			} else if d.stop.Err() != nil { // wished since r was read
				if r, err = d.load(ctx); err != nil {
					break
				}
			}
			before := r.State
			if r, err = d.step(ctx, r); err == nil && r.State != before {
				pause, d.failing = retryDelay, time.Time{}
				d.c.live.setRemark(d.id, "")
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			d.leave(r)
			return
		}
		d.trouble(err)
		if d.stop.Err() != nil || backends.OutcomeOf(err) == run.OutcomeTargetUnreachable { // who waits for a line pauses itself
			pause = min(pause, retryStopping)
		}
		if sleepOr(ctx, d.stop, pause) != nil {
			return
		}
		pause = min(2*pause, retryMost)
	}
}

// load reads the run, and its spec for the steps that need it.
func (d *driver) load(ctx context.Context) (*run.Run, error) {
	r, err := d.c.store.Run(ctx, d.id)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	d.spec = spec{config: r.Config, env: r.ResolvedEnvironment}
	return r, nil
}

// trouble notes that a step failed and will be tried again.
func (d *driver) trouble(err error) {
	if d.failing.IsZero() {
		d.failing = d.c.now()
		d.log.Warn("a step failed; it is tried again", "error", err)
	}
	if backends.OutcomeOf(err) == run.OutcomeTargetUnreachable {
		words := d.t.away()
		if words == "" {
			words = unreachableWords(d.failing, d.c.now(), err.Error())
		}
		d.c.live.setRemark(d.id, words)
		return
	}
	d.c.live.setRemark(d.id, fmt.Sprintf("%v (since %s, still trying)", err, clockWords(d.failing, d.c.now())))
}

// forget takes the driver off the board, unless another one is there.
func (d *driver) forget() {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if d.c.drivers[d.id] == d {
		delete(d.c.drivers, d.id)
	}
}

// leave gives the slot back: the run has ended, or waits for its next attempt.
func (d *driver) leave(r *run.Run) {
	d.forget()
	d.c.live.forget(d.id)
	if r.State == run.Queued {
		d.t.slots.wait(wantOf(r, demandOf(d.spec.config)))
		return
	}
	d.t.slots.leave(d.id)
}

// step takes the one next step of a run that holds a slot.
func (d *driver) step(ctx context.Context, r *run.Run) (*run.Run, error) {
	switch r.State {
	case run.Preparing:
		return d.prepare(ctx, r)
	case run.Starting:
		return d.start(ctx, r)
	case run.Running:
		return d.follow(ctx, r)
	case run.Finalizing:
		return d.finalize(ctx, r)
	case run.Queued, run.Completed, run.Failed, run.Canceled:
	}
	return r, nil
}

// attempt is what the backend needs to carry the run's last attempt out.
func (d *driver) attempt(ctx context.Context, r *run.Run) (backends.Attempt, error) {
	a := backends.Attempt{
		Run: r.ID, Number: r.Last().Number, Experiment: r.Experiment, Config: d.spec.config,
		Environment: d.spec.env, Snapshot: r.Snapshot, Allocation: r.Last().Allocation,
	}
	sealed, err := d.c.store.Sealed(ctx, r.ID)
	if err != nil {
		return a, fmt.Errorf("read secrets: %w", err)
	}
	a.Secrets = make(map[string]string, len(sealed))
	for name, value := range sealed {
		if a.Secrets[name], err = d.c.sealer.open(value); err != nil {
			return a, fmt.Errorf("secret %s: %w", name, err)
		}
	}
	a.RegistryPassword = a.Secrets[registryPasswordName]
	maps.DeleteFunc(a.Secrets, func(name, _ string) bool { return name == registryPasswordName })
	return a, nil
}

// ref of the run's last attempt.
func ref(r *run.Run) backends.Ref {
	a := r.Last()
	return backends.Ref{Run: r.ID, Number: a.Number, Handle: backends.Handle(a.Handle)}
}

// stopWished reports whether somebody wished the run's last attempt to end.
func stopWished(r *run.Run) bool {
	a := r.Last()
	return r.CancelRequestedAt != nil || (a != nil && a.StopRequestedAt != nil)
}

// stopOutcome is how an attempt ends that was told to stop.
func stopOutcome(r *run.Run) run.Outcome {
	if a := r.Last(); r.CancelRequestedAt == nil && a != nil && a.StopFor != "" {
		return a.StopFor
	}
	return run.OutcomeCanceled
}

func isNoChange(err error) bool { return errors.Is(err, errNoChange) }
