package controller

import (
	"context"
	"fmt"
	"time"
)

// NotInstanceError is a target whose queue cannot be stopped, since it is not
// used as a compute instance.
type NotInstanceError struct{ Name string }

func (e *NotInstanceError) Error() string { return fmt.Sprintf("%s is not a compute instance", e.Name) }

// Hint says what a person can do.
func (e *NotInstanceError) Hint() string {
	return "attach it with --as instance to stop and start its queue"
}

// StopQueue keeps the queue of an instance from granting anything until
// StartQueue, over restarts. What runs goes on.
func (c *Controller) StopQueue(ctx context.Context, name string) (*TargetInfo, error) {
	t, err := c.instance(name)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	if err := c.store.StopQueue(ctx, name, now); err != nil {
		return nil, err
	}
	t.slots.stop(now)
	return c.Target(ctx, name)
}

// StartQueue undoes StopQueue.
func (c *Controller) StartQueue(ctx context.Context, name string) (*TargetInfo, error) {
	t, err := c.instance(name)
	if err != nil {
		return nil, err
	}
	if err := c.store.StartQueue(ctx, name); err != nil {
		return nil, err
	}
	t.slots.start()
	return c.Target(ctx, name)
}

func (c *Controller) instance(name string) (*target, error) {
	t, err := c.named(name)
	if err != nil {
		return nil, err
	}
	if t.record != nil && !t.record.Instance {
		return nil, &NotInstanceError{Name: name}
	}
	return t, nil
}

// stop keeps the queue from granting. One that is stopped stays so since then.
func (s *slots) stop(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped.IsZero() {
		s.stopped = since
	}
}

func (s *slots) start() {
	s.mu.Lock()
	s.stopped = time.Time{}
	s.mu.Unlock()
	s.poke()
}

func (s *slots) stoppedSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// counts says how many runs hold something, and how many wait.
func (s *slots) counts() (running, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held), len(s.waiting)
}
