package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/supervise"
)

// A machine can be the way in to a batch engine (Config.Jobs): attempts are
// then jobs on other machines that see the same directory. What is prepared,
// read and brought home is as ever; whoever speaks to the engine starts, asks
// about and stops them, with what is here. Of what runs elsewhere only the
// files count: a lock may not be seen over a shared file system, and a process
// id means nothing.

// Job is what a batch engine has to run for an attempt.
type Job struct {
	// Argv of its first process, the supervisor.
	Argv []string
	// Dir is where it begins, Log where the engine puts its own words.
	Dir, Log string
	// Begun: it was started before.
	Begun bool
	// Again: it was made ready to be submitted before, so that it may have been.
	Again bool
}

// Job makes an attempt that was prepared ready to be submitted. What the
// script is given waits in a file that its supervisor removes, so of two jobs
// with the same Argv one runs it.
func (m *Machine) Job(ctx context.Context, a backends.Attempt) (Job, error) {
	defer m.attempts.lock(a.Ref())()
	j, err := m.job(ctx, a)
	if err != nil {
		return Job{}, m.failure(err)
	}
	m.watching.add(j.Dir, inJob)
	return j, nil
}

func (m *Machine) job(ctx context.Context, a backends.Attempt) (Job, error) {
	at := m.layout.attempt(a.Ref())
	r, err := m.readRecord(ctx, at)
	if err != nil {
		return Job{}, err
	}
	if r == nil || !r.Prepared {
		return Job{}, errNotPrepared
	}
	j := Job{Dir: at.sup(), Log: at.engine()}
	status, err := m.status(ctx, at)
	if err != nil {
		return j, err
	}
	if status.Phase != supervise.Absent {
		j.Begun = true
		return j, nil
	}
	if j.Again, err = m.exists(ctx, at.sup()); err != nil {
		return j, err
	}
	l, err := m.launch(ctx, a, r, at)
	if err != nil {
		return j, err
	}
	if j.Again { // what waits there may be read just now: it is never written anew
		j.Argv = supervise.InContainer{Bin: m.bin, Dir: at.sup()}.Argv()
		waits, err := m.exists(ctx, path.Join(at.sup(), launchFile))
		if err != nil || waits {
			return j, err
		}
	}
	j.Argv, err = supervise.LaunchInContainer(ctx, m.host, at.sup(), l, supervise.InContainer{Bin: m.bin, Dir: at.sup()})
	return j, err
}

// Unprepare takes back what Job made ready, when the engine has refused it.
func (m *Machine) Unprepare(ctx context.Context, ref backends.Ref) error {
	return m.host.RemoveAll(ctx, m.layout.attempt(ref).sup())
}

// Supervised is what the supervisors of attempts wrote down, in the order of
// refs. One that was never made ready to be submitted, or is released, has no
// directory. Lost is not known here: whether one still lives is the engine's to say.
func (m *Machine) Supervised(ctx context.Context, refs []backends.Ref) ([]supervise.Status, error) {
	dirs := make([]string, len(refs))
	for i, ref := range refs {
		dirs[i] = m.layout.attempt(ref).sup()
	}
	all, err := m.keeper.Status(ctx, dirs)
	if err != nil {
		return nil, fmt.Errorf("observe %d attempts: %w", len(refs), err)
	}
	for i := range all {
		if all[i].Phase == supervise.Lost {
			all[i].Phase, all[i].Message, all[i].Rebooted = supervise.Running, "", false
		}
	}
	return all, nil
}

// Grace of an attempt between SIGTERM and SIGKILL; zero: not known.
func (m *Machine) Grace(ctx context.Context, ref backends.Ref) (time.Duration, error) {
	r, err := m.readRecord(ctx, m.layout.attempt(ref))
	if err != nil || r == nil {
		return 0, err
	}
	return r.Grace, nil
}

// Wish leaves the wish to stop for an attempt's supervisor, who looks when it
// gets SIGTERM. before is when that was done the last time; zero: never.
func (m *Machine) Wish(ctx context.Context, ref backends.Ref, grace time.Duration) (before time.Time, err error) {
	at := m.layout.attempt(ref)
	before, err = m.WishedAt(ctx, ref)
	if err != nil {
		return before, err
	}
	return before, m.wish(ctx, at, grace)
}

// WishedAt is when somebody wished an attempt to stop; zero: nobody did.
func (m *Machine) WishedAt(ctx context.Context, ref backends.Ref) (time.Time, error) {
	data, err := m.small(ctx, path.Join(m.layout.attempt(ref).sup(), stopFile))
	if err != nil || data == nil {
		return time.Time{}, err
	}
	var w struct {
		At time.Time `json:"at"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return time.Time{}, fmt.Errorf("read the wish to stop: %w", err)
	}
	return w.At, nil
}

// EngineLog is the end of what the engine itself said to an attempt.
func (m *Machine) EngineLog(ctx context.Context, ref backends.Ref) (string, error) {
	data, err := m.small(ctx, m.layout.attempt(ref).engine())
	const most = 500
	data = bytes.TrimSpace(data)
	return string(data[max(0, len(data)-most):]), err
}

// FailedRank is the first process of a run over several nodes that failed, in
// words; empty: none is known.
func (m *Machine) FailedRank(ctx context.Context, ref backends.Ref) (string, error) {
	data, err := m.small(ctx, path.Join(m.layout.attempt(ref).ranks(), ranks.FailedFile))
	var f ranks.Failed
	if err != nil || data == nil || json.Unmarshal(data, &f) != nil {
		return "", err
	}
	return f.Words(), nil
}

// maxSmall is how much of a small file is read.
const maxSmall = 64 << 10

// small reads a small file; nil: there is none.
func (m *Machine) small(ctx context.Context, name string) ([]byte, error) {
	f, err := m.host.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, maxSmall))
}

// Unreachable reports whether an error says that the machine cannot be asked
// now.
func (m *Machine) Unreachable(err error) bool { return m.unreachable(err) }

// Failure says whose fault an error is.
func (m *Machine) Failure(err error) error { return m.failure(err) }

// formOf an attempt with this environment on this machine.
func (c Config) formOf(r *environment.Resolved) form {
	if c.Jobs {
		return inJob
	}
	return formOf(r)
}
