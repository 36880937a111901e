package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/store"
)

// Detachment says how a target is given up.
type Detachment struct {
	// Force cancels its unfinished runs first.
	Force bool `json:"force"`
	// Forget leaves the machine as it is, for one that is there no more.
	Forget bool `json:"forget"`
}

// BusyTargetError is a target that cannot go: runs of it are unfinished.
type BusyTargetError struct {
	Name string
	Runs []string
}

func (e *BusyTargetError) Error() string {
	return fmt.Sprintf("%s has unfinished runs: %d, the first is %s", e.Name, len(e.Runs), e.Runs[0])
}

// Hint says what a person can do.
func (e *BusyTargetError) Hint() string { return "wait for them, or cancel them with --force" }

// whyNotDetached is a target that does not answer: nothing can be stopped or removed there.
func (c *Controller) whyNotDetached(t *target, why string) error {
	return &compute.ReachError{
		Name: t.name, Err: errors.New(why),
		Advice: "nothing can be stopped or removed there now; to give up the machine, and runs on it: runner compute detach --force --forget " + t.name,
	}
}

// idleEvery is how often a target that is being emptied is looked at.
const idleEvery = 50 * time.Millisecond

// Detach gives a target up: it removes what we put on the machine, and our
// claim, and forgets the target. It refuses while runs are unfinished.
func (c *Controller) Detach(ctx context.Context, name string, d Detachment) (err error) {
	if !d.Forget {
		c.awaitFirstTry(ctx, name)
	}
	leave, err := c.comings.enter(ctx, name, nil)
	if err != nil {
		return err
	}
	defer leave()
	t, err := c.named(name)
	if err != nil {
		return err
	}
	if t.record == nil {
		return &InvalidError{What: "this computer is always a target: " + name}
	}
	if err := t.slots.close(name, d.Force); err != nil {
		return err
	}
	// One that is idle may come back by being asked.
	if why := t.away(); why != "" && !d.Forget && t.slots.busy() {
		t.slots.reopen()
		return c.whyNotDetached(t, why)
	}
	defer func() {
		if err != nil {
			t.slots.reopen()
		}
	}()
	if err := c.empty(ctx, t, d); err != nil {
		return err
	}
	if t, err = c.named(name); err != nil { // it may have been reached since
		return err
	}
	since := t.missedSince()
	if t.absence != nil && !d.Forget { // nobody is to reach it meanwhile
		c.closeTarget(t)
		if t, err = c.named(name); err != nil {
			return err
		}
	}
	if d.Forget {
		c.closeTarget(t)
	} else if err := c.clear(ctx, t, d.Force); err != nil {
		c.comeBack(t, since, err)
		return err
	}
	if err := c.store.DeleteTarget(ctx, name); err != nil {
		c.comeBack(t, since, err)
		return err
	}
	c.dropTarget(name)
	c.log.Info("a target was detached", "target", name)
	return nil
}

// firstTryWait bounds the wait for a target that was not asked yet whether it
// is there: the agent has just begun.
const firstTryWait = 30 * time.Second

// awaitFirstTry waits until a target that is being reached for the first time
// is there, or is known not to be.
func (c *Controller) awaitFirstTry(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, firstTryWait)
	defer cancel()
	for {
		t, err := c.named(name)
		if err != nil || t.absence == nil || t.absence.failed() || sleep(ctx, idleEvery) != nil {
			return
		}
	}
}

// close keeps further runs from coming. A target with unfinished runs is
// closed only by force.
func (s *slots) close(name string, force bool) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	if runs := s.all(); len(runs) > 0 && !force {
		return &BusyTargetError{Name: name, Runs: runs}
	}
	s.leaving = true
	return nil
}

func (s *slots) reopen() {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.leaving = false
}

// empty cancels what is unfinished and waits for its end.
func (c *Controller) empty(ctx context.Context, t *target, d Detachment) error {
	for _, id := range t.slots.all() {
		if _, err := c.Cancel(ctx, id); err != nil {
			return err
		}
	}
	if d.Forget {
		c.closeTarget(t)
		for _, id := range t.slots.holders() {
			if err := c.giveUp(ctx, t, id, "its target was given up"); err != nil {
				return err
			}
		}
	}
	there, done := t.whileThere(ctx)
	defer done()
	for t.slots.busy() {
		if t.absence != nil {
			return c.whyNotDetached(t, t.absence.words())
		}
		switch err := sleep(there, idleEvery); {
		case err == nil:
		case ctx.Err() == nil && there.Err() != nil:
			return c.whyNotDetached(t, context.Cause(there).Error())
		default:
			return err
		}
	}
	return nil
}

// comeBack puts a target that could not go back on its feet. since is since when
// it was not reached already; zero: it was.
func (c *Controller) comeBack(t *target, since time.Time, why error) {
	next := c.absentTarget(t.record, t.slots, nil)
	next.absence.since = since
	next.absence.note(why)
	c.putTarget(next)
	c.begin(next)
}

// closeTarget ends a target's goroutines and its connection.
func (c *Controller) closeTarget(t *target) {
	if err := t.close(); err != nil {
		c.log.Warn("the connection to a target did not end well", "target", t.name, "error", err)
	}
}

// clear removes what we put on a target's machine, and closes the target.
func (c *Controller) clear(ctx context.Context, t *target, force bool) (err error) {
	v, err := c.visit(ctx, &t.record.Target, t.record.sealed)
	if err != nil {
		if reach, ok := errors.AsType[*compute.ReachError](err); ok {
			reach.Advice = forgetAdvice(t.name)
		}
		c.closeTarget(t)
		return err
	}
	defer func() {
		err = v.Explain(err, "detaching", "give the command again when it answers; "+forgetAdvice(t.name))
		c.endVisit(v, &t.record.Target)
	}()
	ours, err := v.Ours(ctx)
	if err != nil || !ours { // or we did this before, and never heard of it
		c.closeTarget(t)
		if err == nil {
			v.Leave(ctx)
		}
		return err
	}
	err = c.clearShared(ctx, t, force)
	c.closeTarget(t)
	if err != nil {
		return err
	}
	return v.Clear(ctx)
}

// clearShared sees that nobody else's runs are on a target, and removes what is
// not in our directory there, also on one that is there again and that nobody has
// reached yet.
func (c *Controller) clearShared(ctx context.Context, t *target, force bool) error {
	if t.absence == nil {
		return c.clearBy(ctx, t.name, t.backend, force)
	}
	door, err := c.openTarget(ctx, &t.record.Target, t.record.sealed, nil)
	if err != nil {
		return err
	}
	err = c.clearBy(ctx, t.name, door.Backend, force)
	if closeErr := door.Close(); closeErr != nil {
		c.log.Warn("the connection to a target did not end well", "target", t.name, "error", closeErr)
	}
	return err
}

func (c *Controller) clearBy(ctx context.Context, name string, b backends.Backend, force bool) error {
	if err := c.endForeign(ctx, name, b, force); err != nil {
		return err
	}
	return removeEnvironments(ctx, name, b)
}

// ForeignRunsError is a target that cannot go: runs of another installation, from
// which it was taken over, go on there.
type ForeignRunsError struct {
	Name string
	Runs []string
}

func (e *ForeignRunsError) Error() string {
	return fmt.Sprintf("runs of another installation go on on %s: %d, the first is %s", e.Name, len(e.Runs), e.Runs[0])
}

// Hint says what a person can do.
func (e *ForeignRunsError) Hint() string { return "wait for them, or end them with --force" }

// endForeign sees that no run which is not ours goes on on a target, or ends it
// by force: with the directory would go what it works in.
func (c *Controller) endForeign(ctx context.Context, name string, b backends.Backend, force bool) error {
	s, ok := b.(backends.Sweeper)
	if !ok {
		return nil
	}
	refs, err := s.Marks(ctx)
	if err != nil {
		return fmt.Errorf("look for runs on %s: %w", name, err)
	}
	var foreign []backends.Ref
	for _, ref := range refs {
		_, err := c.store.Run(ctx, ref.Run)
		if _, unknown := errors.AsType[*store.NotFoundError](err); unknown {
			foreign = append(foreign, ref)
		} else if err != nil {
			return err
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	seen, err := b.Observe(ctx, foreign)
	if err != nil {
		return fmt.Errorf("look at runs on %s: %w", name, err)
	}
	var on []string
	for i, o := range seen {
		if o.Phase == backends.Ended || o.Phase == backends.Absent {
			continue
		}
		if on = append(on, foreign[i].Run); !force {
			continue
		}
		if err := b.Release(ctx, foreign[i]); err != nil {
			return fmt.Errorf("end what another installation runs on %s: %w", name, err)
		}
	}
	if len(on) > 0 && !force {
		return &ForeignRunsError{Name: name, Runs: on}
	}
	return nil
}

func forgetAdvice(name string) string {
	return "to forget a machine that is there no more: runner compute detach --forget " + name
}

// removeEnvironments removes the environments on a target: also images, which
// are not in our directory there.
func removeEnvironments(ctx context.Context, name string, b backends.Backend) error {
	k, ok := b.(backends.EnvironmentKeeper)
	if !ok {
		return nil
	}
	made, err := k.Environments(ctx)
	if err != nil {
		return fmt.Errorf("list the environments on %s: %w", name, err)
	}
	for _, m := range made {
		if err := k.RemoveEnvironment(ctx, m.Digest); err != nil {
			return fmt.Errorf("remove environment %s from %s: %w", m.Digest, name, err)
		}
	}
	// What was pulled for runs goes as well, unless somebody else has it.
	if pruner, ok := b.(backends.Pruner); ok {
		if _, err := pruner.Prune(ctx, backends.Pruning{Kinds: []backends.PruneKind{backends.PruneImages}}); err != nil {
			return fmt.Errorf("remove images from %s: %w", name, err)
		}
	}
	return nil
}
