package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/runconfig"
)

const private fs.FileMode = 0o700

// Prepare makes the attempt's directory with a fresh copy of the source, and
// its environment, at the same time.
func (m *Machine) Prepare(ctx context.Context, a backends.Attempt, progress backends.Progress) error {
	defer m.attempts.lock(a.Ref())()
	// The error is the user's answer to why a run failed, and who asks knows
	// which run it is about.
	return m.failure(m.prepare(ctx, a, progress))
}

func (m *Machine) prepare(ctx context.Context, a backends.Attempt, progress backends.Progress) error {
	at := m.layout.attempt(a.Ref())
	m.ready.take(a.Ref())
	boot, err := m.bootID(ctx)
	if err != nil {
		return err
	}
	r := &record{
		Run: a.Run, Number: a.Number, Form: m.config.formOf(a.Environment), Snapshot: a.Snapshot, BootID: boot,
		Memory: int64(a.Config.Resources.Memory), Grace: grace(a), Bin: m.bin,
	}
	if a.Environment != nil {
		r.Environment = a.Environment.Digest
	}
	found, before, err := m.openAttempt(ctx, at, r, false)
	if err != nil || found.Status.Phase != supervise.Absent {
		return err // started already: what it works in stays as it is
	}
	if before != nil && before.isFor(r) {
		// What it works in stays as it is: somebody may just be starting it.
		// Only the environment may have been removed since.
		if before.Bin != m.bin { // it is we who will start it
			before.Bin = m.bin
			if err := m.writeRecord(ctx, at, before); err != nil {
				return err
			}
		}
		return m.ensure(ctx, a, at, before, progress)
	}
	if !found.Written {
		found, _, err = m.openAttempt(ctx, at, r, true)
		if err != nil || found.Status.Phase != supervise.Absent {
			return err
		}
	}
	both, bothCtx := errgroup.WithContext(ctx)
	both.Go(func() error { return m.unpack(bothCtx, a, at, r, progress) })
	both.Go(func() error { return m.ensure(bothCtx, a, at, r, progress) })
	if err := both.Wait(); err != nil {
		return err
	}
	if r.Inputs, err = m.placeInputs(ctx, a, at, r, progress); err != nil {
		return err
	}
	r.Prepared = true
	if err := m.writeRecord(ctx, at, r); err != nil {
		return err
	}
	m.ready.keep(a.Ref(), r)
	return nil
}

// unpack makes work/: under another name first, so that what a kill cut is
// never taken for whole.
func (m *Machine) unpack(ctx context.Context, a backends.Attempt, at place, r *record, progress backends.Progress) error {
	id, err := snapshot.ParseID(a.Snapshot)
	if err != nil {
		return err
	}
	report := func(p snapshot.Progress) {
		progress.Report(backends.Step{
			Name: "source", Detail: fmt.Sprintf("%d of %d files", p.Files, p.TotalFiles), Done: p.Bytes, Total: p.TotalBytes, Unit: "B",
		})
	}
	wanted := attemptdir.Finishing{Work: at.work(), Script: a.Config.Script, Make: []string{"outputs", "logs"}}
	for _, name := range slices.Sorted(maps.Keys(a.Config.Outputs.Named)) {
		wanted.Make = append(wanted.Make, runconfig.OutputDirectory(name))
	}
	if !a.Config.IsPython() {
		wanted.Head = runconfig.MaxFirstLine // it says what runs it
	}
	found, err := m.copies.Fill(ctx, id, at.working(at.half()), wanted, report)
	if err != nil {
		if corrupt, ok := errors.AsType[*snapshot.CorruptError](err); ok {
			return &backends.Failure{Outcome: run.OutcomeInternalError, Err: err, Hint: corrupt.Hint()}
		}
		return err
	}
	if err := sourceFailure(a.Config.Script, &found); err != nil {
		return err
	}
	if wanted.Script != "" && wanted.Head > 0 {
		r.FirstLine, err = firstLine(a.Config, found.Head, found.Mode)
	}
	return err
}

// sourceFailure says what is wrong with a source that cannot be run.
func sourceFailure(script string, found *attemptdir.Finished) error {
	f := &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Hint: "is it excluded by .runnerignore, .amlignore or .gitignore?"}
	switch {
	case found.OK():
		return nil
	case found.InTheWay != "":
		f.Err = fmt.Errorf("the source directory has a file named %[1]s, where the script's %[1]s directory must be", found.InTheWay)
		f.Hint = "give it another name, or exclude it in .runnerignore"
		return f
	case found.IsDir:
		f.Err = fmt.Errorf("the script %s is a directory", script)
	default:
		f.Err = fmt.Errorf("the script %s is not in the snapshot of the source directory", script)
	}
	if found.Near != "" {
		f.Hint = fmt.Sprintf("did you mean %q?", found.Near)
	}
	return f
}

// ensure makes the environment and writes down how it is used.
func (m *Machine) ensure(ctx context.Context, a backends.Attempt, at place, r *record, progress backends.Progress) error {
	if a.Environment == nil {
		r.Interpreter = "python3"
		return nil
	}
	log := &lateFile{ctx: ctx, host: m.host, path: at.environment(), local: m.local}
	made, err := m.environments.Ensure(ctx, a.Environment, a.RegistryPassword, progress, log)
	err = errors.Join(err, log.close())
	if err != nil {
		return err
	}
	r.Image, r.Interpreter, r.PathPrepend, r.Env = made.Image, made.Interpreter, made.PathPrepend, made.Env
	return m.checkInterpreter(ctx, a, r)
}

// status of the attempt's supervisor.
func (m *Machine) status(ctx context.Context, at place) (supervise.Status, error) {
	all, err := m.keeper.Status(ctx, []string{at.sup()})
	if err != nil {
		return supervise.Status{}, err
	}
	return all[0], nil
}
