package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/yamlpos"
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
	status, err := m.status(ctx, at)
	if err != nil || status.Phase != supervise.Absent {
		return err // started already: what it works in stays as it is
	}
	boot, err := m.bootID(ctx)
	if err != nil {
		return err
	}
	for _, dir := range []string{string(at), m.layout.checkpoint(a.Run)} {
		if err := m.host.MkdirAll(ctx, dir, private); err != nil {
			return err
		}
	}
	r := &record{
		Run: a.Run, Number: a.Number, Form: m.config.formOf(a.Environment), Snapshot: a.Snapshot, BootID: boot,
		Memory: int64(a.Config.Resources.Memory), Grace: grace(a), Bin: m.bin,
	}
	if a.Environment != nil {
		r.Environment = a.Environment.Digest
	}
	before, err := m.readRecord(ctx, at)
	if err != nil {
		return err
	}
	if before != nil && before.Prepared && before.Form == r.Form && before.Environment == r.Environment &&
		before.Snapshot == r.Snapshot && before.BootID == r.BootID {
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
	if err := m.writeRecord(ctx, at, r); err != nil {
		return err
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
	return m.writeRecord(ctx, at, r)
}

// unpack makes work/: under another name first, so that what a kill cut is
// never taken for whole.
func (m *Machine) unpack(ctx context.Context, a backends.Attempt, at place, r *record, progress backends.Progress) error {
	id, err := snapshot.ParseID(a.Snapshot)
	if err != nil {
		return err
	}
	if err := m.removeWork(ctx, at); err != nil {
		return err
	}
	report := func(p snapshot.Progress) {
		progress.Report(backends.Step{
			Name: "source", Detail: fmt.Sprintf("%d of %d files", p.Files, p.TotalFiles), Done: p.Bytes, Total: p.TotalBytes, Unit: "B",
		})
	}
	if err := m.copies.Fill(ctx, id, at.working(at.half()), report); err != nil {
		if corrupt, ok := errors.AsType[*snapshot.CorruptError](err); ok {
			return &backends.Failure{Outcome: run.OutcomeInternalError, Err: err, Hint: corrupt.Hint()}
		}
		return err
	}
	if err := m.checkScript(ctx, a, at.half()); err != nil {
		return err
	}
	if r.FirstLine, err = m.firstLine(ctx, a.Config, at.half()); err != nil {
		return err
	}
	made := []string{"outputs", "logs"}
	for _, name := range slices.Sorted(maps.Keys(a.Config.Outputs.Named)) {
		made = append(made, runconfig.OutputDirectory(name))
	}
	for _, name := range made {
		dir := path.Join(at.half(), name)
		if info, err := m.host.Lstat(ctx, dir); err == nil && !info.IsDir() {
			return &backends.Failure{
				Outcome: run.OutcomeEnvironmentFailed, Err: fmt.Errorf("the source directory has a file named %s, where the script's %s directory must be", name, name),
				Hint: "give it another name, or exclude it in .runnerignore",
			}
		}
		if err := m.host.MkdirAll(ctx, dir, private); err != nil {
			return err
		}
	}
	return m.host.Rename(ctx, at.half(), at.work())
}

// removeWork removes what was begun of work/. There is mostly nothing, which one
// look at the attempt's directory tells.
func (m *Machine) removeWork(ctx context.Context, at place) error {
	there, err := m.names(ctx, string(at))
	if err != nil {
		return err
	}
	for _, name := range at.workNames() {
		if there[name] {
			if err := m.host.RemoveAll(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// names are the whole names of all that is in a directory; none when it is not
// there.
func (m *Machine) names(ctx context.Context, dir string) (map[string]bool, error) {
	entries, err := m.host.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[path.Join(dir, e.Name())] = true
	}
	return names, nil
}

// checkScript says before anything runs that the script is not there.
func (m *Machine) checkScript(ctx context.Context, a backends.Attempt, work string) error {
	script := a.Config.Script
	if script == "" {
		return nil
	}
	info, err := m.host.Stat(ctx, path.Join(work, script))
	switch {
	case err == nil && info.IsDir():
		err = fmt.Errorf("the script %s is a directory", script)
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("the script %s is not in the snapshot of the source directory", script)
	default:
		return err
	}
	f := &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: err, Hint: "is it excluded by .runnerignore, .amlignore or .gitignore?"}
	near, walkErr := m.nearest(ctx, work, script)
	if walkErr != nil {
		return walkErr
	}
	if near != "" {
		f.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return f
}

// manyFiles is how many names are looked at for one that is near.
const manyFiles = 5000

// nearest finds the file that was most likely meant by script.
func (m *Machine) nearest(ctx context.Context, work, script string) (string, error) {
	var names []string
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := m.host.ReadDir(ctx, path.Join(work, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if len(names) > manyFiles {
				return nil
			}
			if !e.IsDir() {
				names = append(names, name)
			} else if err := walk(name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(""); err != nil {
		return "", err
	}
	// The same name elsewhere is nearer than another name here.
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(path.Base(n), path.Base(script)) }); i >= 0 {
		return names[i], nil
	}
	if near := yamlpos.Nearest(script, names); near != "" {
		return near, nil
	}
	bases := make([]string, len(names))
	for i, n := range names {
		bases[i] = path.Base(n)
	}
	if i := slices.Index(bases, yamlpos.Nearest(path.Base(script), bases)); i >= 0 {
		return names[i], nil
	}
	return "", nil
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
