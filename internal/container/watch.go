package container

import (
	"context"
	"log/slog"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// Watch calls changed with the mark of each of home's containers that may
// have changed, until ctx ends. While the engine is away it tries again, and
// whenever the connection is new it calls changed with a mark that has only
// Home: anything may have happened. changed must not block.
func (e *Engine) Watch(ctx context.Context, home string, changed func(Mark)) error {
	var wait backoff
	for {
		err := e.watchOnce(ctx, home, func(m Mark) {
			wait.reset()
			changed(m)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		slog.DebugContext(ctx, "engine's events broke off", "error", err)
		if err := wait.pause(ctx); err != nil {
			return err
		}
	}
}

// watchOnce follows the engine's events until they break off.
func (e *Engine) watchOnce(ctx context.Context, home string, changed func(Mark)) error {
	ctx, cancel := context.WithCancel(ctx)
	filters := make(client.Filters).Add("type", string(events.ContainerEventType)).Add("label", LabelHome+"="+home)
	stream := e.api.Events(ctx, client.EventsListOptions{Filters: filters})
	defer func() {
		cancel()
		for range stream.Err { // closed when the library's goroutine has ended
		}
	}()
	// Events that have begun to flow are certain only by the absence of an
	// error: the library returns once the engine has answered.
	select {
	case err := <-stream.Err:
		return err
	default:
	}
	changed(Mark{Home: home})
	for {
		select {
		case err := <-stream.Err:
			return err
		case event := <-stream.Messages:
			m, ok := markOf(event.Actor.Attributes)
			if !ok || !tells(event.Action) {
				continue
			}
			if event.Action == events.ActionDie || event.Action == "died" {
				e.settle(ctx, event.Actor.ID)
			}
			changed(m)
		}
	}
}

// settleTimeout bounds the wait for an end to be in the engine's lists.
const settleTimeout = 2 * time.Second

// settle waits until the engine itself knows that a container has ended.
// Docker tells of an end before its lists show it; it holds the container's
// lock until they do, so that the first question is nearly always enough.
func (e *Engine) settle(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var wait backoff
	for {
		s, err := e.state(ctx, id)
		if err != nil || s.Phase != Running {
			return
		}
		if err := wait.pause(ctx); err != nil {
			return
		}
	}
}

// tells reports whether an event says that a container's phase may be another.
func tells(action events.Action) bool {
	switch action {
	case events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionOOM, events.ActionStop,
		events.ActionPause, events.ActionUnPause, events.ActionDestroy, events.ActionRemove, "died":
		return true
	default:
		return false
	}
}
