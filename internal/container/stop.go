package container

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// stopSlack is how much longer than the grace a stop may take the engine.
const stopSlack = time.Minute

// Stop asks the engine to end a container: SIGTERM to its first process,
// SIGKILL after grace (whole seconds, rounded up). It returns once the engine
// has the wish. The supervisor passes SIGTERM on and keeps a grace of its own,
// so the one given here should be a little longer than that. Stopping what has
// ended, or is not there, is fine.
func (e *Engine) Stop(ctx context.Context, id string, grace time.Duration) error {
	if err := e.closing.Err(); err != nil {
		return fmt.Errorf("stop container %s: %w", shortID(id), err)
	}
	seconds := int((grace + time.Second - 1) / time.Second)
	sent := make(chan struct{}, 1)
	ended := make(chan error, 1)
	// The engine answers when the container ended. It would stop waiting when
	// the connection is cut (and some then kill at once), so it is kept.
	stopCtx, cancel := context.WithTimeout(e.closing, grace+stopSlack)
	e.background.Go(func() {
		defer cancel()
		traced := httptrace.WithClientTrace(stopCtx, &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) {
				select {
				case sent <- struct{}{}:
				default:
				}
			},
		})
		_, err := e.api.ContainerStop(traced, id, client.ContainerStopOptions{Timeout: &seconds})
		ended <- stopError(stopCtx, id, err)
	})
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop container %s: %w", shortID(id), ctx.Err())
	case <-sent:
	}
	// An error that comes at once (no such container, no engine) is the answer.
	timer := time.NewTimer(quickAnswer)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-timer.C:
	}
	e.background.Go(func() {
		if err := <-ended; err != nil && e.closing.Err() == nil {
			slog.Warn("stop of container went wrong", "container", shortID(id), "error", err)
		}
	})
	return nil
}

// quickAnswer is how long an engine may take to say that a stop is wrong.
const quickAnswer = 50 * time.Millisecond

func stopError(ctx context.Context, id string, err error) error {
	return ignore(wrap(ctx, "stop container "+shortID(id), err), NotFound)
}

// Kill sends a signal, for example "SIGKILL", to the container's first
// process. One that does not run, or is not there, is fine.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	ctx, cancel := brief(ctx)
	defer cancel()
	_, err := e.api.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	if err != nil && (isConflict(err) || strings.Contains(err.Error(), "is not running") || strings.Contains(err.Error(), "can only kill running containers")) {
		return nil
	}
	return ignore(wrap(ctx, "signal container "+shortID(id), err), NotFound)
}

// Remove takes a container away, running or not, with its anonymous volumes.
// It returns when it is gone. One that is not there is fine.
func (e *Engine) Remove(ctx context.Context, id string) error {
	op := "remove container " + shortID(id)
	var wait backoff
	for {
		_, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || !isConflict(err) { // conflict: another removal is under way
			return ignore(wrap(ctx, op, err), NotFound)
		}
		if err := wait.pause(ctx); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
}
