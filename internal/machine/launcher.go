package machine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// Launcher says what is started in place of the script, which it starts in its
// turn.
type Launcher func(backends.Attempt, Surroundings) (Launch, error)

// Surroundings of an attempt on its host.
type Surroundings struct {
	// Bin is our own program there.
	Bin string
	// Dir is the launcher's own directory, and Work the script's.
	Dir, Work string
	// Interpreter is the environment's Python.
	Interpreter string
	// Variables are the names of those that the script is given.
	Variables []string
}

// Launch is what is started.
type Launch struct {
	Argv []string
	// PassesOn: it passes signals on; see supervise.Launch.
	PassesOn bool
	// Elsewhere: it only follows what goes on without it; see supervise.Launch.
	Elsewhere bool
	// Files of the launcher's directory by name. They are private.
	Files map[string][]byte
}

// launchBy lets the launcher have its way.
func (m *Machine) launchBy(ctx context.Context, l *supervise.Launch, a backends.Attempt, r *record, at place, env map[string]string) error {
	if m.config.Launcher == nil {
		return nil
	}
	launch, err := m.config.Launcher(a, Surroundings{
		Bin: m.bin, Dir: at.launcher(), Work: at.work(), Interpreter: r.Interpreter, Variables: slices.Sorted(maps.Keys(env)),
	})
	if err != nil || launch.Argv == nil {
		return err
	}
	if err := m.host.MkdirAll(ctx, at.launcher(), private); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(launch.Files)) {
		const readable = 0o600
		if err := m.host.WriteFile(ctx, path.Join(at.launcher(), name), launch.Files[name], readable); err != nil {
			return err
		}
	}
	l.Argv, l.PassesOn, l.Elsewhere = launch.Argv, launch.PassesOn, launch.Elsewhere
	return nil
}

// mostOfLauncher is how much of a launcher's file is read, in bytes.
const mostOfLauncher = 1 << 20

// LauncherFile reads a file of an attempt's launcher; nil: it is not there.
func (m *Machine) LauncherFile(ctx context.Context, ref backends.Ref, name string) ([]byte, error) {
	f, err := m.host.Open(ctx, path.Join(m.layout.attempt(ref).launcher(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, mostOfLauncher))
}

// RunLauncher runs our program for an attempt's launcher, which command makes of
// the program and the launcher's directory.
func (m *Machine) RunLauncher(ctx context.Context, ref backends.Ref, command func(bin, dir string) []string) error {
	dir := m.layout.attempt(ref).launcher()
	return m.host.Run(ctx, host.Command{Argv: command(m.bin, dir), Dir: dir})
}
