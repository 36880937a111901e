package local_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/testenv"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/local"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
)

// Where a copy of the test binary finds the target.
const (
	homeVariable   = "RUNNER_LOCALTEST_HOME"
	socketVariable = "RUNNER_LOCALTEST_SOCKET"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		testenv.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 && os.Args[1] == "ranks" {
		testenv.Exit(ranks.Main(os.Args[2:]))
	}
	backendtest.RunChild(func() (backends.Backend, error) {
		return open(context.Background(), os.Getenv(homeVariable), os.Getenv(socketVariable))
	})
	goleak.VerifyTestMain(m)
}

func open(ctx context.Context, home, socket string) (*local.Backend, error) {
	store, err := snapshot.Open(filepath.Join(home, "objects"))
	if err != nil {
		return nil, err
	}
	return local.New(ctx, local.Options{
		Home: home, Installation: "test-" + filepath.Base(home), Snapshots: store, Engine: container.Options{Socket: socket},
	})
}

// home is a RUNNER_HOME for one test.
func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "runner home ü")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// target on this computer; socket is that of a Docker engine, or empty.
func target(t *testing.T, home, socket string) backendtest.Target {
	t.Helper()
	sup := func(ref backends.Ref) string { return filepath.Join(attemptDir(home, ref), "sup") }
	return backendtest.Target{
		New: func(t testing.TB) backends.Backend {
			b, err := open(context.WithoutCancel(t.Context()), home, socket)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			return b
		},
		Environment: &environment.Resolved{Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("e", 64), Interpreter: "python3"},
		Snapshot: func(t testing.TB, dir string) string {
			store, err := snapshot.Open(filepath.Join(home, "objects"))
			if err != nil {
				t.Fatal(err)
			}
			taken, err := store.Take(t.Context(), dir, snapshot.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return string(taken.ID)
		},
		Home: func(_ testing.TB, ref backends.Ref) *artifact.Directory {
			return artifact.OpenDirectory(attemptDir(home, ref))
		},
		Traces: func(t testing.TB, ref backends.Ref) []string { return traces(t, home, ref) },
		Disk:   []string{home},
		Vanish: func(t testing.TB, ref backends.Ref) {
			// Its supervisor first, or it would write down how it ended.
			supervisor := pidOf(t, sup(ref))
			for _, pid := range append([]int{supervisor}, marked(ref)...) {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill()
				}
			}
		},
		Child: []string{homeVariable + "=" + home, socketVariable + "=" + socket},
	}
}

func attemptDir(home string, ref backends.Ref) string {
	return filepath.Join(home, "runs", ref.Run, "attempts", strconv.Itoa(ref.Number))
}

// pidOf the supervisor of a directory.
func pidOf(t testing.TB, sup string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(sup, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// traces of an attempt: what is left in its directory besides outputs and logs,
// and processes with its mark.
func traces(t testing.TB, home string, ref backends.Ref) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(attemptDir(home, ref))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "outputs" && e.Name() != "logs" {
			found = append(found, e.Name())
		}
	}
	for _, pid := range marked(ref) {
		found = append(found, fmt.Sprintf("process %d", pid))
	}
	return found
}

// marked are the processes of an attempt, its supervisor left out.
func marked(ref backends.Ref) []int {
	variable := fmt.Sprintf("RUNNER_MARK=%s.%d", ref.Run, ref.Number)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it ended, or is another user's
		}
		for v := range strings.SplitSeq(string(data), "\x00") {
			if v != variable {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
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
