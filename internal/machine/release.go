package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/runnerml/runner/backends"
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
	r, err := m.readRecord(ctx, at)
	if err != nil {
		return err
	}
	m.watching.remove(at.sup())
	f := formOfHandle(ref.Handle)
	image := ""
	if r != nil && r.Form != "" {
		f, image = r.Form, r.Image
	}
	status, err := m.status(ctx, at)
	if err != nil {
		return err
	}
	var engine *container.Engine
	if f == inContainer {
		if engine, err = m.removeContainer(ctx, ref, at, status); err != nil {
			return err
		}
	}
	// What runs elsewhere is its engine's to end.
	// A supervisor that wrote down the end has killed all that was left before.
	if f != inJob && (status.Phase != supervise.Ended || status.Message != "") {
		if err := m.keeper.Clean(ctx, at.sup()); err != nil {
			return err
		}
	}
	if err := m.removeHalfInputs(ctx, at); err != nil {
		return err
	}
	there, err := m.names(ctx, string(at))
	if err != nil {
		return err
	}
	if there[at.copyList()] && there[at.work()] && r != nil && r.Prepared {
		// What cannot be kept is removed like all else.
		if _, err := m.copies.Park(ctx, at.working(at.work())); err != nil {
			return err
		}
	}
	for _, name := range append(at.workNames(), at.inputs(), at.sup(), at.launcher(), at.ranks(), at.engine(), at.environment(), at.record()+".half", at.record()) {
		if !there[name] && name != at.copyUnit() && name != at.copyList()+".new" { // which parking makes
			continue
		}
		err := m.host.RemoveAll(ctx, name)
		if err != nil && engine != nil && image != "" {
			err = engine.RemoveFiles(ctx, image, name) // of other users
		}
		if err != nil {
			return err
		}
	}
	for name := range there {
		if !strings.HasPrefix(path.Base(name), host.Unfinished) {
			continue
		}
		if err := m.host.RemoveAll(ctx, name); err != nil {
			return err
		}
	}
	return m.removeEmpty(ctx, string(at), m.layout.attempts(ref.Run))
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

// removeEmpty removes directories that hold nothing any more.
func (m *Machine) removeEmpty(ctx context.Context, dirs ...string) error {
	for _, dir := range dirs {
		entries, err := m.host.ReadDir(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || len(entries) > 0 || path.Clean(dir) == string(m.layout) {
			return err
		}
		if err := m.host.RemoveAll(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}
