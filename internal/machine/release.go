package machine

import (
	"context"
	"fmt"
	"path"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// Release removes the attempt's container, whatever runs of it, and its
// directory but for what has come home there. The record goes last, so that a
// release that was cut is seen as one.
func (m *Machine) Release(ctx context.Context, ref backends.Ref) error {
	defer m.attempts.lock(ref)()
	if err := m.release(ctx, ref); err != nil {
		return fmt.Errorf("release %s: %w", mark(ref), err)
	}
	return nil
}

func (m *Machine) release(ctx context.Context, ref backends.Ref) error {
	at := m.layout.attempt(ref)
	m.ready.take(ref)
	r, found, err := m.look(ctx, at, false)
	if err != nil {
		return err
	}
	m.watching.remove(at.sup())
	f := formOfHandle(ref.Handle)
	image := ""
	if r != nil && r.Form != "" {
		f, image = r.Form, r.Image
	}
	var engine *container.Engine
	if f == inContainer {
		if engine, err = m.removeContainer(ctx, ref, at, found.Status); err != nil {
			return err
		}
	}
	// What runs elsewhere is its engine's to end.
	// A supervisor that wrote down the end has killed all that was left before.
	if f != inJob && (found.Status.Phase != supervise.Ended || found.Status.Message != "") {
		if err := m.keeper.Clean(ctx, at.sup()); err != nil {
			return err
		}
	}
	return m.closeDir(ctx, ref, r != nil && r.Prepared, func(dir string) error {
		if engine != nil && image != "" { // of other users
			return engine.RemoveFiles(ctx, image, dir)
		}
		return m.host.RemoveAll(ctx, dir) // which says why it cannot be
	})
}

// closeDir removes the attempt's directory but for what has come home there.
// unstick removes what may not be removed just so.
func (m *Machine) closeDir(ctx context.Context, ref backends.Ref, prepared bool, unstick func(dir string) error) error {
	at := m.layout.attempt(ref)
	c := attemptdir.Closing{
		Dir: string(at), Begun: []string{path.Base(at.inputs()) + halfInput, host.Unfinished},
		Names: append(at.workNames(),
			at.inputs(), at.sup(), at.launcher(), at.ranks(), at.engine(), at.environment(), at.record()+".half", at.record()),
		Parents: []string{m.layout.attempts(ref.Run)},
	}
	if prepared {
		c.Park = &attemptdir.Parking{Work: at.work(), List: at.copyList(), Unit: at.copyUnit()}
	}
	for {
		done, err := m.directories.CloseAttempt(ctx, c)
		if err != nil || done.Stuck == "" {
			return err
		}
		if err := unstick(done.Stuck); err != nil {
			return err
		}
	}
}

// removeContainer takes the attempt's container away. One that was prepared
// and never started has none, and needs no engine to say so.
func (m *Machine) removeContainer(ctx context.Context, ref backends.Ref, at place, status supervise.Status) (*container.Engine, error) {
	if status.Phase == supervise.Absent {
		if begun, err := m.exists(ctx, at.sup()); err != nil || !begun && ref.Handle == "" {
			return nil, err
		}
	}
	engine, err := m.engines.get(ctx)
	if err != nil {
		return nil, err
	}
	states, err := engine.Observe(ctx, m.config.Installation, containerMark(ref, m.config.Installation))
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		if err := engine.Remove(ctx, s.ID); err != nil {
			return nil, err
		}
	}
	return engine, nil
}
