package machine

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
)

// Save brings what a running attempt has left so far, and its checkpoint
// directory, to where they are kept. What the script is writing just now comes
// the next time. Of an attempt that has ended only the checkpoint directory
// goes: the rest is Collect's. On this computer the home has it already.
func (m *Machine) Save(ctx context.Context, ref backends.Ref, attempt, checkpoint artifact.Folder) error {
	err := m.save(ctx, ref, attempt, checkpoint)
	if err != nil {
		return fmt.Errorf("save what %s has left: %w", mark(ref), m.failure(err))
	}
	return nil
}

func (m *Machine) save(ctx context.Context, ref backends.Ref, attempt, checkpoint artifact.Folder) error {
	at := m.layout.attempt(ref)
	if _, isHome := attempt.(artifact.Adopter); isHome && m.local {
		return nil
	}
	r, err := m.readRecord(ctx, at)
	if err != nil || r == nil {
		return err
	}
	status, err := m.status(ctx, at)
	if err != nil {
		return err
	}
	live := status.Phase == supervise.Running
	if live {
		if err := m.saveOutputs(ctx, at, attempt); err != nil {
			return err
		}
	}
	return m.saveCheckpoint(ctx, ref.Run, checkpoint, live)
}

// View is where an attempt works, if that is on this computer.
func (m *Machine) View(ref backends.Ref) backends.View {
	if !m.local {
		return nil
	}
	return artifact.OpenView(m.layout.attempt(ref).work())
}

// saveOutputs saves outputs/, logs/ and the log of a running attempt.
func (m *Machine) saveOutputs(ctx context.Context, at place, attempt artifact.Folder) error {
	if m.remote == nil {
		c := &copying{m: m, sink: attempt, at: at, root: at.work(), live: true}
		if err := c.carry(ctx, c.all); err != nil {
			return err
		}
		return attempt.Settle(ctx)
	}
	f := newFetching(attempt, at.nameAtHome)
	f.live = true
	from := []string{path.Join(at.work(), "outputs"), path.Join(at.work(), "logs")}
	for _, o := range at.ours() {
		from = append(from, o.source)
	}
	if err := f.all(ctx, m.remote.bulk, from); err != nil {
		return err
	}
	return attempt.Settle(ctx)
}

// saveCheckpoint makes the folder what a run's checkpoint directory is.
func (m *Machine) saveCheckpoint(ctx context.Context, run string, folder artifact.Folder, live bool) error {
	if m.remote == nil {
		c := &copying{m: m, sink: folder, root: m.layout.run(run), live: live}
		if err := c.carry(ctx, func(ctx context.Context) error { return c.top(ctx, checkpointName) }); err != nil {
			return err
		}
		return mirrored(ctx, folder, c.seen)
	}
	dir := m.layout.checkpoint(run)
	f := newFetching(folder, func(there string, _ map[string]bool) (string, bool) {
		return checkpointName + strings.TrimPrefix(there, dir), false
	})
	f.live = live
	if err := f.all(ctx, m.remote.bulk, []string{dir}); err != nil {
		return err
	}
	return mirrored(ctx, folder, f.names())
}

// checkpointName is the checkpoint directory's name in its folder.
const checkpointName = "checkpoint"

// mirrored removes from a folder what is not in its directory any more: a
// script keeps its last few checkpoints, and so do we. A directory that is not
// there at all says nothing.
func mirrored(ctx context.Context, folder artifact.Folder, there map[string]bool) error {
	if there[checkpointName] {
		kept, err := folder.List(ctx)
		if err != nil {
			return err
		}
		for _, k := range kept {
			if !there[k.Path] {
				if err := folder.Remove(ctx, k.Path); err != nil {
					return err
				}
			}
		}
	}
	return folder.Settle(ctx)
}

// forgotten removes from where outputs/ is kept what was saved while the script
// ran, and that it removed later: there are the names at the end. A directory
// that is not there at all says nothing.
func forgotten(ctx context.Context, sink artifact.Sink, there map[string]bool) error {
	folder, ok := sink.(artifact.Folder)
	if !ok || !there["outputs"] {
		return nil
	}
	kept, err := folder.List(ctx)
	if err != nil {
		return err
	}
	for _, k := range kept {
		if strings.HasPrefix(k.Path, "outputs/") && !there[k.Path] {
			if err := folder.Remove(ctx, k.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// Restore makes a run's checkpoint directory what its folder has, if there is
// nothing in it here: the run was on another machine before.
func (m *Machine) Restore(ctx context.Context, run string, folder artifact.Folder) error {
	if err := m.restore(ctx, run, folder); err != nil {
		return fmt.Errorf("restore the checkpoint directory: %w", m.failure(err))
	}
	return nil
}

func (m *Machine) restore(ctx context.Context, run string, folder artifact.Folder) error {
	dir := m.layout.checkpoint(run)
	if err := m.host.MkdirAll(ctx, dir, private); err != nil {
		return err
	}
	entries, err := m.host.ReadDir(ctx, dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	kept, err := folder.List(ctx)
	if err != nil || len(kept) == 0 {
		return err
	}
	var fresh string // goes to its place when it is whole
	if m.remote == nil {
		fresh, err = m.restoreHere(ctx, folder, dir)
	} else {
		fresh, err = m.restoreThere(ctx, folder, dir)
	}
	if err != nil {
		return err
	}
	if err := m.host.RemoveAll(ctx, dir); err != nil {
		return err
	}
	return m.host.Rename(ctx, fresh, dir)
}

// restoreHere brings the files to this computer, beside dir.
func (m *Machine) restoreHere(ctx context.Context, folder artifact.Folder, dir string) (fresh string, err error) {
	half := dir + ".half"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	if err := artifact.Copy(ctx, artifact.OpenCheckpoint(half), folder); err != nil {
		return "", err
	}
	fresh = dir + ".restored"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := os.Rename(path.Join(half, checkpointName), fresh); err != nil {
		return "", err
	}
	return fresh, os.RemoveAll(half)
}

// restoreThere brings the files to another machine, beside dir: they go as a
// snapshot does, so that what was sent before a cut is not sent again.
func (m *Machine) restoreThere(ctx context.Context, folder artifact.Folder, dir string) (fresh string, err error) {
	here, err := os.MkdirTemp("", "runner-checkpoint-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(here) }() // in the system's temporary directory
	if err := artifact.Copy(ctx, artifact.OpenCheckpoint(here), folder); err != nil {
		return "", err
	}
	const noLimit = -1
	taken, err := m.config.Store.Take(ctx, path.Join(here, checkpointName), snapshot.Options{MaxBytes: noLimit, Whole: true})
	if err != nil {
		return "", err
	}
	fresh = dir + ".restored-" + taken.ID.Hex()
	if err := m.remote.unpacker.Keep(ctx, taken.ID, fresh, nil); err != nil {
		return "", err
	}
	return fresh, m.host.Run(ctx, host.Command{Argv: []string{"chmod", "-R", "u+w", "--", fresh}})
}
