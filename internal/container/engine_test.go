package container

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an engine for one test, with an installation name of the test's own.
type bench struct {
	*Engine
	docker testenv.Engine
	home   string
	dir    string
}

func newBench(t testing.TB) bench {
	t.Helper()
	docker := testenv.Docker(t)
	b := bench{docker: docker, home: "test-" + strings.ToLower(rand.Text()[:10]), dir: t.TempDir()}
	testenv.Leaks(t, docker, LabelHome+"="+b.home)
	b.Engine = openAt(t, docker.Host, b.dir)
	t.Cleanup(func() { // before the engine is closed, before leaks are looked for
		ctx, cancel := cleanupContext(t)
		defer cancel()
		states, err := b.Observe(ctx, b.home)
		if err != nil {
			t.Errorf("list what is left: %v", err)
		}
		for _, s := range states {
			if err := b.Remove(ctx, s.ID); err != nil {
				t.Errorf("remove: %v", err)
			}
		}
	})
	return b
}

func openAt(t testing.TB, socket, root string) *Engine {
	t.Helper()
	config := os.Getenv("DOCKER_CONFIG")
	if config == "" || !strings.HasPrefix(config, os.TempDir()) {
		if test, ok := t.(interface{ Setenv(key, value string) }); ok {
			test.Setenv("DOCKER_CONFIG", filepath.Join(root, "no-docker-config")) // the user's own stays out
		}
	}
	h := host.NewHere(root)
	e, err := Open(t.Context(), h, Options{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := h.Close(); err != nil {
			t.Errorf("close host: %v", err)
		}
	})
	return e
}

func cleanupContext(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
}

// mark is one of this bench's own: names are shared by all who use the engine.
func (b bench) mark(run string) Mark {
	if run != "" {
		run += "-" + b.home
	}
	return Mark{Run: run, Attempt: 1, Home: b.home}
}

// spec is a container of the small image that runs a shell script.
func (b bench) spec(run, script string) Spec {
	return Spec{
		Mark: b.mark(run), Image: b.docker.Small,
		Command: []string{"sh", "-c", script}, UID: os.Getuid(), GID: os.Getgid(),
	}
}

func (b bench) run(t testing.TB, s Spec) string {
	t.Helper()
	id, err := b.Run(t.Context(), s)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return id
}

// observe is the state of one mark's container; ok is false when it has none.
func (b bench) observe(t testing.TB, m Mark) (s State, ok bool) {
	t.Helper()
	states, err := b.Observe(t.Context(), b.home, m)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	if len(states) > 1 {
		t.Fatalf("%d containers have one mark: %v", len(states), states)
	}
	if len(states) == 0 {
		return State{}, false
	}
	return states[0], true
}

// await polls until the mark's container is in the phase.
func (b bench) await(t testing.TB, m Mark, phase Phase) State {
	t.Helper()
	var last State
	poll(t, string(phase), func() bool {
		last, _ = b.observe(t, m)
		return last.Phase == phase
	})
	return last
}

// poll asks until done says so.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not %s after 30 s", what)
		}
	}
}

func TestInfo(t *testing.T) {
	b := newBench(t)
	info, err := b.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Version == "" || info.API < minAPI || info.OS != "linux" || info.Arch == "" || info.NCPU < 1 || info.Memory < 1<<20 ||
		info.StorageDriver == "" || info.CgroupVersion == "" || info.RootDir == "" {
		t.Errorf("something is unknown: %+v", info)
	}
	if info.Podman || info.Rootless || info.RemapsUsers {
		t.Errorf("this is Docker, run by root: %+v", info)
	}
}
