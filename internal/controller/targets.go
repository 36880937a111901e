package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
)

// target is a compute target as the controller keeps it. It never changes but
// for its slots: one that is reached, or lost, is replaced by another with the
// same slots.
//
//	attach, or stored -> absent --reached--> present -> detached
//	                       ^  \_ tried again    |
//	                       \____ detach failed _/
type target struct {
	name    string
	backend backends.Backend
	slots   *slots
	// observer is nil while the target is absent.
	observer *observer
	// record is what is stored of it; nil for one that is built in.
	record *attached
	// absence is why its backend is not open; nil: it is.
	absence *absence
	// door is the open connection of an attached target; else nil.
	door *compute.Door
	// missed: the store does not know yet that it is reached. Only tellTrouble's
	// once that has begun.
	missed bool
	now    func() time.Time
	// lost is poked when something was left behind on it. Capacity 1.
	lost chan struct{}

	ctx    context.Context //nolint:containedctx // the life of the target's goroutines
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// attached is an attached target with its secrets still sealed.
type attached struct {
	compute.Target
	sealed map[string][]byte
}

// newTarget is a target whose backend is open.
func (c *Controller) newTarget(name string, b backends.Backend, s *slots) *target {
	t := &target{
		name: name, backend: b, slots: s, observer: newObserver(b, c.log.With("target", name)),
		lost: make(chan struct{}, 1), now: c.now,
	}
	t.ctx, t.cancel = context.WithCancel(c.ctx)
	return t
}

// close ends the goroutines of a target and its connection. Runs go on.
func (t *target) close() error {
	t.cancel()
	t.group.Wait()
	if t.door == nil {
		return nil
	}
	return t.door.Close()
}

// begin starts the goroutines of a target, or those that try to reach it.
func (c *Controller) begin(t *target) {
	if t.absence != nil {
		c.group.Go(func() { c.reach(t) })
		return
	}
	for _, id := range t.slots.holders() {
		c.drive(t, id)
	}
	t.group.Go(func() { t.observer.run(t.ctx) })
	t.group.Go(func() { c.keepQueue(t) })
	t.group.Go(func() { c.sweep(t) })
	t.group.Go(func() { c.tellTrouble(t) })
}

// holders are the runs that hold something of a target, sorted.
func (s *slots) holders() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.held))
	for id := range s.held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// heldSince are those that hold something since a time or longer, sorted.
func (s *slots) heldSince(at time.Time) []string {
	ids := s.holders()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(ids, func(id string) bool { return s.held[id].Since.After(at) })
}

// all are the unfinished runs of a target, sorted.
func (s *slots) all() []string {
	ids := s.holders()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.waiting {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// loadTargets takes in the attached targets, all of them absent yet, and the
// queues that are stopped.
func (c *Controller) loadTargets(ctx context.Context) error {
	stored, err := c.store.Targets(ctx)
	if err != nil {
		return fmt.Errorf("read the attached targets: %w", err)
	}
	for i := range stored {
		record, err := recordOf(&stored[i])
		if err != nil {
			return err
		}
		t := c.absentTarget(record, newSlots(), nil)
		if since := stored[i].UnreachedAt; since != nil {
			t.absence.recall(*since)
		}
		c.putTarget(t)
	}
	stopped, err := c.store.StoppedQueues(ctx)
	if err != nil {
		return fmt.Errorf("read the stopped queues: %w", err)
	}
	for name, since := range stopped {
		if t, err := c.target(name); err == nil {
			t.slots.stop(since)
		}
	}
	return nil
}

// UnknownTargetError is a compute target that nobody attached.
type UnknownTargetError struct {
	Name  string
	Known []string
}

func (e *UnknownTargetError) Error() string {
	return fmt.Sprintf("no compute target is named %q", e.Name)
}

// Hint names the targets that are there.
func (e *UnknownTargetError) Hint() string {
	return "known targets: " + strings.Join(slices.Sorted(slices.Values(e.Known)), ", ")
}

func (c *Controller) target(name string) (*target, error) {
	c.tmu.RLock()
	defer c.tmu.RUnlock()
	if t, ok := c.targets[name]; ok {
		return t, nil
	}
	e := &UnknownTargetError{Name: name}
	for n := range c.targets {
		e.Known = append(e.Known, n)
	}
	return nil, e
}

// allTargets are the targets by name.
func (c *Controller) allTargets() []*target {
	c.tmu.RLock()
	defer c.tmu.RUnlock()
	all := make([]*target, 0, len(c.targets))
	for _, t := range c.targets {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *target) int { return strings.Compare(a.name, b.name) })
	return all
}

func (c *Controller) putTarget(t *target) {
	c.tmu.Lock()
	defer c.tmu.Unlock()
	c.targets[t.name] = t
}

// replaceTarget puts b where a is; false: a is not there any more.
func (c *Controller) replaceTarget(a, b *target) bool {
	c.tmu.Lock()
	defer c.tmu.Unlock()
	if c.targets[a.name] != a || a.ctx.Err() != nil {
		return false
	}
	c.targets[a.name] = b
	return true
}

func (c *Controller) dropTarget(name string) {
	c.tmu.Lock()
	defer c.tmu.Unlock()
	delete(c.targets, name)
}

// away says since when and why a target does not answer; empty: it does.
func (t *target) away() string {
	if t.absence != nil {
		return t.absence.words()
	}
	if t.door != nil {
		if since, err := t.door.Trouble(); err != nil {
			return unreachableWords(since, t.now(), err.Error())
		}
	}
	return ""
}

// whyWaits says why a run waits, or nothing.
func (t *target) whyWaits(id string) string {
	if since := t.slots.stoppedSince(); !since.IsZero() {
		return fmt.Sprintf("the queue of %s is stopped since %s: runner compute start %s",
			t.name, since.Local().Format(time.DateTime), t.name)
	}
	return t.slots.reason(id)
}

// sizeHint says where a person sees how large a target is.
func (t *target) sizeHint() string {
	if t.record == nil {
		return "runner doctor shows what this computer has"
	}
	return "runner compute show " + t.name + " shows what it has"
}

// unreachableSince is how the words begin that are said of a run whose target
// does not answer.
const unreachableSince = "target unreachable since "

func unreachableWords(since, now time.Time, why string) string {
	words := unreachableSince + clockWords(since, now) + ", still trying"
	if why == "" {
		return words
	}
	return words + ": " + why
}

// clockWords are a time of day, with the day where that is another one.
func clockWords(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format("15:04")
	}
	return at.Format("2006-01-02 15:04")
}

var errNoMachines = errors.New("this server attaches no targets")
