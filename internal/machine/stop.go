package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/supervise"
)

// engineSlack is how much longer than the supervisor the engine waits before
// it kills a container itself.
const engineSlack = 10 * time.Second

// Stop leaves the wish with the attempt's supervisor. That of a container is
// told through the engine, which kills the container should its supervisor not
// end it.
func (m *Machine) Stop(ctx context.Context, ref backends.Ref, grace time.Duration) error {
	if err := m.stop(ctx, ref, grace); err != nil {
		return fmt.Errorf("stop %s: %w", mark(ref), err)
	}
	return nil
}

func (m *Machine) stop(ctx context.Context, ref backends.Ref, grace time.Duration) error {
	at := m.layout.attempt(ref)
	status, err := m.status(ctx, at)
	if err != nil || status.Phase == supervise.Ended {
		return err
	}
	f, err := m.formOf(ctx, ref, at)
	if err != nil {
		return err
	}
	if f != inContainer {
		return m.keeper.Stop(ctx, at.sup(), grace)
	}
	engine, err := m.engines.get(ctx)
	if err != nil {
		return err
	}
	states, err := engine.Observe(ctx, m.config.Installation, containerMark(ref, m.config.Installation))
	if err != nil || len(states) == 0 {
		return err
	}
	if err := m.wish(ctx, at, grace); err != nil {
		return err
	}
	return engine.Stop(ctx, states[0].ID, grace+engineSlack)
}

// stopFile holds the wish to stop, for a supervisor that we cannot signal.
const stopFile = "stop.json"

func (m *Machine) wish(ctx context.Context, at place, grace time.Duration) error {
	if m.local {
		return supervise.Wish(at.sup(), grace)
	}
	data, err := json.Marshal(map[string]any{"grace": max(grace, 0), "at": time.Now().UTC()})
	if err != nil {
		return err
	}
	const readable = 0o600
	return m.host.WriteFile(ctx, path.Join(at.sup(), stopFile), data, readable)
}

// formOf the attempt, by its handle or its record; empty: nothing is there.
func (m *Machine) formOf(ctx context.Context, ref backends.Ref, at place) (form, error) {
	if ref.Handle != "" {
		return formOfHandle(ref.Handle), nil
	}
	r, err := m.readRecord(ctx, at)
	if err != nil || r == nil {
		return "", err
	}
	return r.Form, nil
}
