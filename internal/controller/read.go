package controller

import (
	"context"
	"fmt"
	"strconv"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// Run gives everything known of a run. id may be a unique prefix, or "@last".
func (c *Controller) Run(ctx context.Context, id string) (*run.Run, error) {
	id, err := c.store.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := c.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	c.annotate(r)
	return r, nil
}

// List gives runs, newest first.
func (c *Controller) List(ctx context.Context, f Filter) ([]run.Run, error) {
	runs, err := c.store.List(ctx, store.Filter{
		Experiment: f.Experiment, Target: f.Target, States: f.States, Tags: f.Tags, ActiveOnly: f.Active, Limit: f.Limit, Lines: true,
	})
	if err != nil {
		return nil, err
	}
	for i := range runs {
		c.annotate(&runs[i])
	}
	return runs, nil
}

// Events gives a run's story from after a sequence number on.
func (c *Controller) Events(ctx context.Context, id string, after int) ([]run.Event, error) {
	id, err := c.store.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.store.Events(ctx, id, after)
}

// RunLock gives the exact versions of the environment that a run had; empty
// when there was nothing to pin.
func (c *Controller) RunLock(ctx context.Context, id string) (string, error) {
	id, err := c.store.Resolve(ctx, id)
	if err != nil {
		return "", err
	}
	return c.store.Lock(ctx, id)
}

// annotate says in an unfinished run's message what is true of it now: why it
// waits, how far its preparation is, that its target does not answer.
func (c *Controller) annotate(r *run.Run) {
	defer r.SplitHints()
	r.InputsFrom = inputsFrom(r.Config)
	if r.State.Ended() {
		return
	}
	t, err := c.target(r.Target)
	switch {
	case err != nil:
	case r.State == run.Queued && !t.slots.stoppedSince().IsZero():
		r.Message = t.whyWaits(r.ID)
		return
	case t.absence != nil:
		r.Message = t.absence.words()
		if p, ok := c.live.progressOf(r.ID); ok { // the target's, not its own
			r.Message += p.share()
		}
		return
	}
	if text := c.live.remarkOf(r.ID); text != "" {
		r.Message = text
		return
	}
	switch r.State {
	case run.Queued:
		if err == nil {
			if why := t.whyWaits(r.ID); why != "" {
				r.Message = why
			}
		}
	case run.Preparing:
		if p, ok := c.live.progressOf(r.ID); ok {
			r.Message = p.words()
		}
	case run.Starting, run.Running, run.Finalizing, run.Completed, run.Failed, run.Canceled:
	}
}

func (p Progress) words() string {
	w := p.Step
	if p.Detail != "" {
		w += ": " + p.Detail
	}
	return w + p.share()
}

// share is how much of it is done, behind other words; empty: not known.
func (p Progress) share() string {
	if p.Total <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%d%%)", 100*p.Done/p.Total)
}

// grantWords say what a slot holds.
func grantWords(a run.Allocation) string {
	w := "slot granted: " + strconv.FormatFloat(a.CPUs, 'g', -1, 64) + " CPU"
	if a.CPUs != 1 {
		w += "s"
	}
	if a.Memory > 0 {
		w += ", " + environment.FormatSize(a.Memory)
	}
	if len(a.GPUs) > 0 {
		w += fmt.Sprintf(", GPU %s", joinIDs(a.GPUs))
	}
	return w
}

func joinIDs(ids []string) string {
	w := ""
	for i, id := range ids {
		if i > 0 {
			w += ", "
		}
		w += id
	}
	return w
}
