package controller

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/queue"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

// slots is who waits for a target and who holds what of it: a picture of the
// store for the queue's pure decisions.
type slots struct {
	mu      sync.Mutex
	size    *queue.Size // nil: the target's engine queues by itself
	waiting map[string]queue.Want
	held    map[string]queue.Held
	reasons map[string]string
	changed chan struct{} // capacity 1: there is something to decide
	// inFlight is how many runs a target without a size is given at most; zero:
	// no limit.
	inFlight int
	// stopped is since when somebody keeps the queue from granting; zero: it is not.
	stopped time.Time

	// gate is held for reading while a run comes, and for writing to keep more
	// from coming: the target is about to go.
	gate    sync.RWMutex
	leaving bool
}

func newSlots() *slots {
	return &slots{
		waiting: map[string]queue.Want{}, held: map[string]queue.Held{}, reasons: map[string]string{},
		changed: make(chan struct{}, 1),
	}
}

func (s *slots) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// wait puts runs into the queue. One that is there already stays as it is.
func (s *slots) wait(wants ...queue.Want) {
	s.mu.Lock()
	for _, w := range wants {
		delete(s.held, w.Run)
		s.waiting[w.Run] = w
	}
	s.mu.Unlock()
	s.poke()
}

// hold notes what a run holds.
func (s *slots) hold(h queue.Held) {
	s.mu.Lock()
	delete(s.waiting, h.Run)
	delete(s.reasons, h.Run)
	s.held[h.Run] = h
	s.mu.Unlock()
}

// holdStill notes a change of what a run holds, unless it holds nothing any
// more.
func (s *slots) holdStill(h queue.Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.held[h.Run]; ok {
		s.held[h.Run] = h
	}
}

// leave forgets a run that has ended.
func (s *slots) leave(id string) {
	s.mu.Lock()
	delete(s.waiting, id)
	delete(s.held, id)
	delete(s.reasons, id)
	s.mu.Unlock()
	s.poke()
}

func (s *slots) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)+len(s.held) > 0
}

// lowPriority reports whether a run may lose its slot to a dedicated one.
func (s *slots) lowPriority(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[id].LowPriority || s.held[id].LowPriority
}

// reason says why a run waits, or nothing.
func (s *slots) reason(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reasons[id]
}

func (s *slots) plan() queue.Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped.IsZero() {
		clear(s.reasons)
		return queue.Plan{}
	}
	if s.size == nil {
		p := queue.Through(len(s.held), s.inFlight, slices.Collect(maps.Values(s.waiting)))
		s.reasons = p.Reasons
		return p
	}
	p := queue.Make(*s.size, slices.Collect(maps.Values(s.held)), slices.Collect(maps.Values(s.waiting)))
	s.reasons = p.Reasons
	for _, i := range p.Impossible { // the target has become smaller since the run was accepted
		s.reasons[i.Run] = i.Why
	}
	return p
}

// limit says how many runs a target without a size of its own is given at most.
func (s *slots) limit(inFlight int) {
	s.mu.Lock()
	s.inFlight = cmp.Or(inFlight, compute.DefaultMaxInFlight)
	s.mu.Unlock()
	s.poke()
}

// measure asks the target how large it is.
func (t *target) measure(ctx context.Context) error {
	sizer, ok := t.backend.(backends.Sizer)
	if !ok {
		return nil
	}
	got, err := sizer.Size(ctx)
	if err != nil {
		return err
	}
	size := queueSize(t.name, got)
	t.slots.resize(&size)
	return nil
}

func queueSize(name string, got backends.Size) queue.Size {
	size := queue.Size{Target: name, CPUs: got.CPUs, Memory: got.Memory}
	for _, g := range got.GPUs {
		size.GPUs = append(size.GPUs, g.ID)
	}
	return size
}

// wantOf is what a run asks of its target.
func wantOf(r *run.Run, d store.Demand) queue.Want {
	return queue.Want{
		Run: r.ID, Priority: r.Priority, Since: r.CreatedAt,
		CPUs: d.Resources.CPUs, Memory: int64(d.Resources.Memory), GPUs: d.Resources.GPUs,
		LowPriority: d.VMPriority == runconfig.LowPriority,
	}
}

// demandOf is what a config asks of its target.
func demandOf(c *runconfig.ScriptRunConfig) store.Demand {
	return store.Demand{Resources: c.Resources, VMPriority: c.VMPriority}
}

// heldOf is what a run's last attempt holds of its target.
func heldOf(r *run.Run, lowPriority bool) queue.Held {
	h := queue.Held{Run: r.ID, Priority: r.Priority, LowPriority: lowPriority}
	if a := r.Last(); a != nil {
		h.Attempt, h.Allocation = a.Number, a.Allocation
		h.Stopping = a.StopRequestedAt != nil
		if a.GrantedAt != nil {
			h.Since = *a.GrantedAt
		}
	}
	return h
}

// keepQueue grants slots of a target whenever something changed.
func (c *Controller) keepQueue(t *target) {
	defer t.slots.poke() // whoever keeps it next looks again
	t.slots.poke()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.slots.changed:
		}
		plan := t.slots.plan()
		for _, g := range plan.Grants {
			if err := c.grant(t, g); err != nil {
				c.log.Error("a slot could not be granted", "run", g.Run, "error", err)
				c.retryQueue(t)
			}
		}
		for _, id := range plan.Preempt {
			if err := c.wishStop(c.ctx, t, id, run.OutcomePreempted); err != nil {
				c.log.Error("a run could not be preempted", "run", id, "error", err)
			}
		}
	}
}

// retryQueue decides again a little later, after the store failed.
func (c *Controller) retryQueue(t *target) {
	t.group.Go(func() {
		if sleep(t.ctx, retryDelay) == nil {
			t.slots.poke()
		}
	})
}

// grant begins the next attempt of a run: it is committed before anything is
// done with it.
func (c *Controller) grant(t *target, g queue.Grant) error {
	now := c.now().UTC()
	r, err := c.update(c.ctx, g.Run, func(r *run.Run) ([]run.Event, error) {
		if r.State != run.Queued {
			return nil, errNoChange
		}
		n := len(r.Attempts) + 1
		r.Attempts = append(r.Attempts, run.Attempt{Number: n, State: run.Preparing, GrantedAt: &now, Allocation: g.Allocation})
		r.State, r.Message = run.Preparing, ""
		return []run.Event{c.event(n, run.Queued, run.Preparing, grantWords(g.Allocation))}, nil
	})
	if err != nil {
		if isNoChange(err) {
			t.slots.leave(g.Run)
			return nil
		}
		return err
	}
	since := r.CreatedAt
	if n := len(r.Attempts); n > 1 && r.Attempts[n-2].EndedAt != nil {
		since = *r.Attempts[n-2].EndedAt
	}
	c.metrics.Granted(now.Sub(since))
	t.slots.hold(heldOf(r, t.slots.lowPriority(r.ID)))
	c.drive(t, r.ID)
	return nil
}
