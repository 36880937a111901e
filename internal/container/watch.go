package container

import (
	"context"
	"log/slog"

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
			if m, ok := markOf(event.Actor.Attributes); ok && tells(event.Action) {
				changed(m)
			}
		}
	}
}

// tells reports whether an event says that a container's phase may be another.
func tells(action events.Action) bool {
	switch action {
	case events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionOOM, events.ActionStop,
		events.ActionPause, events.ActionUnPause, events.ActionDestroy, events.ActionRemove, "died":
		return true
	}
	return false
}
