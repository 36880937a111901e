package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/supervise"
)

// Observe asks all supervisors at once, and the engine once for what they do
// not tell. A host that cannot be asked now says nothing of any of them.
func (m *Machine) Observe(ctx context.Context, refs []backends.Ref) ([]backends.Observation, error) {
	seen, err := m.observe(ctx, refs)
	if m.unreachable(err) && ctx.Err() == nil {
		return unknown(refs, err), nil
	}
	return seen, err
}

func (m *Machine) observe(ctx context.Context, refs []backends.Ref) ([]backends.Observation, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	dirs := make([]string, len(refs))
	for i, ref := range refs {
		dirs[i] = m.layout.attempt(ref).sup()
	}
	statuses, err := m.keeper.Status(ctx, dirs)
	if err != nil {
		return nil, fmt.Errorf("observe %d attempts: %w", len(refs), err)
	}
	all := make([]evidence, len(refs))
	var marks []container.Mark
	for i, ref := range refs {
		f, err := m.formOf(ctx, ref, m.layout.attempt(ref))
		if m.ofAll(ctx, err) {
			return nil, fmt.Errorf("observe %s: %w", mark(ref), err)
		}
		all[i] = evidence{form: f, sup: statuses[i], broken: err}
		if all[i].asksEngine() {
			marks = append(marks, containerMark(ref, m.config.Installation))
		}
	}
	if len(marks) > 0 {
		if err := m.askEngine(ctx, refs, all, marks); err != nil {
			return nil, err
		}
	}
	seen := make([]backends.Observation, len(refs))
	for i, e := range all {
		seen[i] = e.observation()
		switch {
		case e.form == "":
			seen[i].Handle = refs[i].Handle
		case e.sup.Phase != supervise.Absent || e.found:
			seen[i].Handle = handleOf(e.form, refs[i], e.sup)
		}
		// What a container calls itself is no machine.
		if (seen[i].Node == "" || e.form == inContainer) && seen[i].Phase != backends.Absent {
			seen[i].Node = m.platform.Hostname
		}
	}
	return seen, nil
}

// askEngine adds what the engine knows. That it is away is evidence too.
func (m *Machine) askEngine(ctx context.Context, refs []backends.Ref, all []evidence, marks []container.Mark) error {
	engine, err := m.engines.get(ctx)
	var states []container.State
	if err == nil {
		states, err = engine.Observe(ctx, m.config.Installation, marks...)
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("observe %d attempts: %w", len(refs), ctx.Err())
	}
	byMark := make(map[container.Mark]container.State, len(states))
	for _, s := range states {
		byMark[s.Mark] = s
	}
	for i, ref := range refs {
		e := &all[i]
		if !e.asksEngine() {
			continue
		}
		e.away = err
		e.engine, e.found = byMark[containerMark(ref, m.config.Installation)]
		if e.engine.OOMKilled {
			if r, err := m.readRecord(ctx, m.layout.attempt(ref)); err == nil && r != nil {
				e.limit = r.Memory // it only explains
			}
		}
		if e.sup.Phase == supervise.Ended {
			continue
		}
		at := m.layout.attempt(ref)
		if e.wished, e.broken = m.exists(ctx, path.Join(at.sup(), stopFile)); m.ofAll(ctx, e.broken) {
			return fmt.Errorf("observe %s: %w", mark(ref), e.broken)
		}
		if e.found && e.engine.Phase == container.Exited {
			// What was asked first may be older than the engine's answer.
			sup, err := m.status(ctx, at)
			if m.ofAll(ctx, err) {
				return fmt.Errorf("observe %s: %w", mark(ref), err)
			}
			if err != nil {
				e.broken = err
				continue
			}
			e.sup = sup
			if e.sup.Phase == supervise.Absent {
				const lines = 10
				e.output, _ = engine.Output(ctx, e.engine.ID, lines) // it only explains
			}
		}
	}
	return nil
}

// ofAll reports whether an error says nothing of the one attempt that was
// asked for, but of the asking. Any other error is that attempt's alone.
func (m *Machine) ofAll(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || m.unreachable(err))
}

func (m *Machine) exists(ctx context.Context, name string) (bool, error) {
	_, err := m.host.Lstat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
