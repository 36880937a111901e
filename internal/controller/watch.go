package controller

import (
	"context"

	"github.com/runnerml/runner/internal/run"
)

// Watch tells a run's story as it happens, beginning with the run as it is and
// the events after a sequence number. The channel closes when the run has
// ended and all is told, or when ctx ends.
func (c *Controller) Watch(ctx context.Context, id string, after int) (<-chan Notice, error) {
	id, err := c.store.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	changes, stop := c.store.Subscribe(id)
	moments, end := c.live.watch(id)
	first, err := c.Run(ctx, id)
	if err != nil {
		stop()
		end()
		return nil, err
	}
	out := make(chan Notice)
	w := &watch{c: c, id: id, after: after, out: out}
	c.group.Go(func() {
		defer close(out)
		defer stop()
		defer end()
		if !w.tellRun(ctx, first) || !w.tellStored(ctx, first) || !w.tellRemark(ctx, c.live.remarkOf(id)) {
			return
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.ctx.Done():
				return
			case <-changes:
				r, err := c.Run(ctx, id)
				if err != nil || !w.tellStored(ctx, r) {
					return
				}
			case <-moments:
				if p, ok := c.live.progressOf(id); ok && !w.tellProgress(ctx, p) {
					return
				}
				if !w.tellRemark(ctx, c.live.remarkOf(id)) {
					return
				}
			}
		}
	})
	return out, nil
}

type watch struct {
	c     *Controller
	id    string
	after int
	told  run.State
	last  Progress
	said  string // the last remark
	out   chan<- Notice
}

func (w *watch) send(ctx context.Context, n Notice) bool {
	select {
	case w.out <- n:
		return true
	case <-ctx.Done():
	case <-w.c.ctx.Done():
	}
	return false
}

func (w *watch) tellRun(ctx context.Context, r *run.Run) bool {
	w.told = r.State
	return w.send(ctx, Notice{Run: r})
}

// tellStored tells new events and then, when its state changed, the run. It
// reports whether there is more to come.
func (w *watch) tellStored(ctx context.Context, r *run.Run) bool {
	events, err := w.c.store.Events(ctx, w.id, w.after)
	if err != nil {
		return false
	}
	for i := range events {
		w.after = events[i].Seq
		if !w.send(ctx, Notice{Event: &events[i]}) {
			return false
		}
	}
	if r.State != w.told || r.State.Ended() {
		if !w.tellRun(ctx, r) {
			return false
		}
	}
	return !r.State.Ended()
}

func (w *watch) tellProgress(ctx context.Context, p Progress) bool {
	if p == w.last {
		return true
	}
	w.last = p
	return w.send(ctx, Notice{Progress: &p})
}

func (w *watch) tellRemark(ctx context.Context, text string) bool {
	if text == w.said {
		return true
	}
	w.said = text
	return w.send(ctx, Notice{Remark: &text})
}
