package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/local"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// cpu is what we, or the children that we have waited for, have used.
func cpu(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// life carries one attempt of "true" through all seven verbs and says how long
// each took.
type life struct {
	backend  *local.Backend
	home     string
	snapshot string
	env      *environment.Resolved
	changed  chan struct{}
	took     map[string]time.Duration
}

func newLife(b *testing.B, socket string, env *environment.Resolved) *life {
	b.Helper()
	home, err := os.MkdirTemp("", "runner-bench")
	if err != nil {
		b.Fatal(err)
	}
	backend, err := open(b.Context(), home, socket)
	if err != nil {
		b.Fatal(err)
	}
	store, err := snapshot.Open(filepath.Join(home, "objects"))
	if err != nil {
		b.Fatal(err)
	}
	source := b.TempDir()
	if err := os.WriteFile(filepath.Join(source, "train.py"), []byte("print('hello')\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	taken, err := store.Take(b.Context(), source, snapshot.Options{})
	if err != nil {
		b.Fatal(err)
	}
	l := &life{
		backend: backend, home: home, snapshot: string(taken.ID), env: env, changed: make(chan struct{}, 1), took: map[string]time.Duration{},
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = backend.Watch(b.Context(), func(backends.Ref) {
			select {
			case l.changed <- struct{}{}:
			default:
			}
		})
	}()
	b.Cleanup(func() { // the context has ended
		<-watched
		if err := backend.Close(); err != nil {
			b.Error(err)
		}
		if err := os.RemoveAll(home); err != nil {
			b.Error(err)
		}
	})
	return l
}

func (l *life) carryOut(b *testing.B, number int) {
	b.Helper()
	ctx := b.Context()
	a := backends.Attempt{
		Run: fmt.Sprintf("bench-%d", number), Number: 1, Experiment: "bench", Snapshot: l.snapshot, Environment: l.env,
		Config: &runconfig.ScriptRunConfig{Command: "true", Resources: runconfig.Resources{Nodes: 1, CPUs: 1}},
	}
	began := time.Now()
	lap := func(verb string, err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		l.took[verb] += now.Sub(began)
		began = now
	}
	lap("prepare", l.backend.Prepare(ctx, a, nil))
	ref := a.Ref()
	handle, err := l.backend.Start(ctx, a)
	lap("start", err)
	ref.Handle = handle
	for {
		seen, err := l.backend.Observe(ctx, []backends.Ref{ref})
		if err != nil {
			b.Fatal(err)
		}
		if seen[0].Phase == backends.Ended {
			if seen[0].Outcome != run.OutcomeCompleted {
				b.Fatalf("%+v", seen[0])
			}
			break
		}
		<-l.changed
	}
	lap("end", nil)
	lap("collect", l.backend.Collect(ctx, ref, artifact.OpenDirectory(attemptDir(l.home, ref))))
	lap("release", l.backend.Release(ctx, ref))
}

func (l *life) bench(b *testing.B) {
	b.Helper()
	l.carryOut(b, -1) // installs, opens, warms
	clear(l.took)
	own, children := cpu(b, syscall.RUSAGE_SELF), cpu(b, syscall.RUSAGE_CHILDREN)
	number := 0
	for b.Loop() {
		number++
		l.carryOut(b, number)
	}
	perOp := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(perOp(cpu(b, syscall.RUSAGE_SELF)-own), "own-cpu-ms/op")
	b.ReportMetric(perOp(cpu(b, syscall.RUSAGE_CHILDREN)-children), "children-cpu-ms/op")
	for verb, d := range l.took {
		b.ReportMetric(perOp(d), verb+"-ms/op")
	}
}

func BenchmarkProcess(b *testing.B) {
	newLife(b, "", &environment.Resolved{Kind: environment.Existing, Digest: "sha256:e", Interpreter: "python3"}).bench(b)
}

func BenchmarkDocker(b *testing.B) {
	engine := testenv.Docker(b)
	b.Run("runner", func(b *testing.B) {
		newLife(b, engine.Host, &environment.Resolved{
			Kind: environment.Image, Digest: "sha256:d", Interpreter: "python3", Docker: &environment.Docker{Image: engine.Base},
		}).bench(b)
	})
	b.Run("docker run", func(b *testing.B) {
		for b.Loop() {
			if out, err := engine.Command(b.Context(), "run", "--rm", engine.Base, "true").CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
}
