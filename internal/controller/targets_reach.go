package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/queue"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

const (
	// openSilence bounds how long nothing may be heard of one try to reach a
	// target and open its backend. How long it takes does not matter: our program
	// goes there over whatever line there is.
	openSilence = 2 * time.Minute
	// refusedMost is the longest pause after a try that trying again will
	// hardly mend: servers bar those who knock too often.
	refusedMost = 5 * time.Minute
	// silentMost is the longest pause after a try that found nobody there, who
	// may come at any moment.
	silentMost = 8 * time.Second
)

// absentTarget is an attached target whose backend is not open; err is why, if
// that is known.
func (c *Controller) absentTarget(r *attached, s *slots, err error) *target {
	t := &target{name: r.Name, slots: s, record: r, absence: c.newAbsence(), now: c.now}
	t.ctx, t.cancel = context.WithCancel(c.ctx)
	t.backend = absentBackend{t.absence}
	if err != nil {
		t.absence.note(err)
	}
	r.fill(s)
	return t
}

// reach tries to open an absent target until it is there, or gone.
func (c *Controller) reach(t *target) {
	pause := retryDelay
	for {
		door, err := c.openTarget(t.ctx, &t.record.Target, t.record.sealed, func(s backends.Step) { c.opening(t, s) })
		if err == nil {
			c.reached(t, door)
			return
		}
		if t.ctx.Err() != nil {
			return
		}
		c.unreached(t, err)
		most := silentMost
		if !compute.IsTemporary(err) {
			most, pause = refusedMost, max(pause, retryMost)
		}
		timer := time.NewTimer(pause)
		select {
		case <-t.ctx.Done():
			timer.Stop()
			return
		case <-t.absence.wake:
			timer.Stop()
		case <-timer.C:
		}
		pause = min(2*pause, most)
	}
}

// opening tells the runs of a target how far it is with becoming ready.
func (c *Controller) opening(t *target, s backends.Step) {
	t.absence.opens(s.Detail)
	for _, id := range t.slots.all() {
		c.live.setRemark(id, t.absence.words())
		c.live.setProgress(id, progressOf(s))
	}
}

// unreached notes that a try failed, and gives up what waited too long.
func (c *Controller) unreached(t *target, err error) {
	first := !t.absence.failed()
	since := t.absence.note(err)
	if first {
		c.log.Warn("a target cannot be reached; it is tried again", "target", t.name, "since", since, "error", err)
	}
	if !t.absence.isStored() && c.storeMissed(t, since) {
		t.absence.setStored()
	}
	for _, id := range t.slots.all() {
		c.live.setRemark(id, t.absence.words())
		c.live.dropProgress(id)
	}
	if !t.absence.givesUp(c.unreachableLimit) {
		return
	}
	for _, id := range t.slots.heldSince(c.now().Add(-c.unreachableLimit)) {
		if err := c.giveUp(t.ctx, t, id, t.absence.words()); err != nil {
			c.log.Error("a run of a lost target could not be ended", "run", id, "target", t.name, "error", err)
		}
	}
}

// giveUp ends the attempt of a run that holds a slot of an absent target.
func (c *Controller) giveUp(ctx context.Context, t *target, id, why string) error {
	d := &driver{c: c, t: t, id: id, log: c.log.With("run", id, "target", t.name)}
	r, err := d.load(ctx)
	if err != nil {
		return err
	}
	var notes []string
	if r.State == run.Finalizing {
		if r, notes, err = d.loseResults(ctx, r, why); err != nil {
			return err
		}
	} else if r.State.Holds() {
		e := ending{outcome: run.OutcomeTargetUnreachable, message: why}
		if stopWished(r) {
			e.outcome = stopOutcome(r)
		}
		if r, err = d.finish(ctx, r, e); err != nil {
			return err
		}
	}
	if r.State == run.Finalizing {
		if r, err = d.conclude(ctx, notes); err != nil {
			return err
		}
	}
	d.leave(r)
	return nil
}

// errNoSign is a try that nothing was heard of any more.
var errNoSign = fmt.Errorf("nothing was heard of it for %s: %w", openSilence, context.DeadlineExceeded)

// openTarget logs in to a target's machine, sees that it is ours, and opens its
// backend. opening hears how far that is; it may be nil.
func (c *Controller) openTarget(
	ctx context.Context, t *compute.Target, sealed map[string][]byte, opening backends.Progress,
) (_ *compute.Door, err error) {
	if c.machines == nil {
		return nil, errNoMachines
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	clock := time.AfterFunc(openSilence, func() { cancel(errNoSign) })
	defer clock.Stop()
	defer func() {
		if err != nil && context.Cause(ctx) == errNoSign && !errors.Is(err, errNoSign) { //nolint:errorlint // the cause itself
			err = fmt.Errorf("%w (%w)", errNoSign, err)
		}
	}()
	v, err := c.visit(ctx, t, sealed)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(v.Explain(err, "reaching", ""), v.Close())
		}
	}()
	if err := v.Check(); err != nil {
		return nil, err
	}
	return v.Open(ctx, func(s backends.Step) {
		clock.Reset(openSilence)
		opening.Report(s)
	})
}

// visit logs in to a target's machine.
func (c *Controller) visit(ctx context.Context, t *compute.Target, sealed map[string][]byte) (*compute.Visit, error) {
	given := make(map[string]string, len(sealed))
	for name, value := range sealed {
		var err error
		if given[name], err = c.sealer.open(value); err != nil {
			return nil, fmt.Errorf("%s of target %s: %w", name, t.Name, err)
		}
	}
	return c.machines.Visit(ctx, t, compute.Secrets{Given: given, Stored: c.StoredSecret})
}

// reached puts an open target where an absent one was.
func (c *Controller) reached(t *target, door *compute.Door) {
	next := c.newTarget(t.name, door.Backend, t.slots)
	next.record, next.door, next.missed = t.record, door, true
	if err := next.measure(t.ctx); err != nil {
		c.log.Warn("a target could not be measured; what it had when it was attached counts", "target", t.name, "error", err)
	}
	if !c.replaceTarget(t, next) { // detached meanwhile
		if err := door.Close(); err != nil {
			c.log.Warn("the connection to a target did not end well", "target", t.name, "error", err)
		}
		return
	}
	for _, id := range t.slots.all() {
		c.live.setRemark(id, "")
		c.live.dropProgress(id)
	}
	c.begin(next)
	c.log.Info("the target is reached", "target", t.name)
}

// fill tells the queue what attaching found, so that it can refuse at once what
// the target can never do. A cluster queues by itself, up to a limit of ours.
func (r *attached) fill(s *slots) {
	switch {
	case r.Kind == compute.Cluster:
		s.limit(r.Config.Cluster.MaxInFlight)
	case r.Kind == compute.Spark:
		s.limit(r.Config.Spark.MaxInFlight)
	case r.Facts != nil:
		size := queueSize(r.Name, r.Facts.Size())
		s.resize(&size)
	}
}

// resize tells the queue how large its target is.
func (s *slots) resize(size *queue.Size) {
	s.mu.Lock()
	s.size = size
	s.mu.Unlock()
	s.poke()
}

// recordOf reads what is stored of a target.
func recordOf(t *store.Target) (*attached, error) {
	config, err := compute.DecodeConfig(t.Config)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	facts, err := compute.DecodeFacts(t.Facts)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return &attached{sealed: t.Sealed, Target: compute.Target{
		Name: t.Name, Kind: compute.Kind(t.Kind), Instance: t.Instance, Config: config, Facts: facts,
		MachineID: t.MachineID, HostKey: t.HostKey, AttachedAt: t.AttachedAt, CheckedAt: t.CheckedAt,
	}}, nil
}

// absentBackend is the backend of a target that cannot be asked.
type absentBackend struct{ absence *absence }

func (b absentBackend) failure() error {
	return unreachableError(b.absence.words())
}

func (b absentBackend) Prepare(context.Context, backends.Attempt, backends.Progress) error {
	return b.failure()
}

func (b absentBackend) Start(context.Context, backends.Attempt) (backends.Handle, error) {
	return "", b.failure()
}

func (b absentBackend) Observe(context.Context, []backends.Ref) ([]backends.Observation, error) {
	return nil, b.failure()
}

func (b absentBackend) Logs(context.Context, backends.Ref, backends.Source, int64) (io.ReadCloser, error) {
	return nil, b.failure()
}

func (b absentBackend) Stop(context.Context, backends.Ref, time.Duration) error { return b.failure() }

func (b absentBackend) Collect(context.Context, backends.Ref, artifact.Sink) error {
	return b.failure()
}

func (b absentBackend) Release(context.Context, backends.Ref) error { return b.failure() }
