package local_test

import (
	"context"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/local"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/container"
)

// place is an agent's home, and the socket of a Docker engine or nothing.
type place struct {
	Home   backendtest.Root
	Socket string
}

func TestMain(m *testing.M) { backendtest.Main(m, place.open, nil) }

func (p place) open(ctx context.Context) (backends.Backend, error) {
	return open(ctx, string(p.Home), p.Socket)
}

func open(ctx context.Context, home, socket string) (*local.Backend, error) {
	store, err := backendtest.Root(home).Objects()
	if err != nil {
		return nil, err
	}
	return local.New(ctx, local.Options{
		Home: home, Installation: backendtest.Root(home).Installation(), Snapshots: store, Engine: container.Options{Socket: socket},
	})
}

// home is a RUNNER_HOME for one test.
func home(t *testing.T) string {
	t.Helper()
	return string(backendtest.NewHome(t))
}

// target on this computer; socket is that of a Docker engine, or empty.
func target(t *testing.T, home, socket string) backendtest.Target {
	t.Helper()
	root := backendtest.Root(home)
	return backendtest.Target{
		New: func(t testing.TB) backends.Backend {
			return backendtest.Open(t, func(ctx context.Context) (*local.Backend, error) { return open(ctx, home, socket) })
		},
		Environment: backendtest.Existing("python3"),
		Snapshot:    root.Snapshot,
		Home:        root.Home,
		Traces:      func(t testing.TB, ref backends.Ref) []string { return traces(t, home, ref) },
		Disk:        []string{home},
		Vanish:      root.Vanish,
		Child:       place{Home: root, Socket: socket},
	}
}

func attemptDir(home string, ref backends.Ref) string { return backendtest.Root(home).Attempt(ref) }

// traces of an attempt, but for its outputs and logs, which are at home.
func traces(t testing.TB, home string, ref backends.Ref) []string {
	t.Helper()
	return backendtest.Root(home).Traces(t, ref, "outputs", "logs")
}

func TestProcess(t *testing.T) {
	backendtest.Run(t, target(t, home(t), ""), nil)
}

// Not through the short cut of renaming: as things come home from elsewhere.
func TestProcessCopied(t *testing.T) {
	copied := target(t, home(t), "")
	copied.Sink = func(home *artifact.Directory) artifact.Sink { return struct{ artifact.Sink }{home} }
	backendtest.RunSubject(t, copied, "outputs")
}
