package ssh_test

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/testenv"
)

// engineFor is a socket of the engine that an account may use, as a member of
// the group docker may.
func engineFor(t *testing.T, engine testenv.Engine, account testenv.SSHAccount) string {
	t.Helper()
	socket := filepath.Join(account.Home, "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(socket, account.UID, -1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var working sync.WaitGroup
	working.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			working.Go(func() { forward(ctx, conn, strings.TrimPrefix(engine.Host, "unix://")) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		working.Wait()
	})
	return socket
}

func forward(ctx context.Context, conn net.Conn, to string) {
	defer func() { _ = conn.Close() }()
	up, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), up.Close() })
	defer stop()
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { carry(up, conn) })
	both.Go(func() { carry(conn, up) })
	both.Wait()
}

// Containers on the machine, through its engine's socket over the connection.
func TestDocker(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
	m.Socket = engineFor(t, engine, m.account)
	testenv.Leaks(t, engine, container.LabelHome+"="+m.Home.Installation())
	d := m.target(t)
	d.Environment = &environment.Resolved{
		Kind: environment.Image, Digest: "sha256:" + strings.Repeat("d", 64), Interpreter: "python3", Docker: &environment.Docker{Image: engine.Base},
	}
	name := func(ref backends.Ref) string { return container.Mark{Run: ref.Run, Attempt: ref.Number}.Name() }
	docker := func(t testing.TB, args ...string) string {
		t.Helper()
		// Also in a cleanup, where the test's context has ended.
		out, err := engine.Command(context.WithoutCancel(t.Context()), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	d.Traces = func(t testing.TB, ref backends.Ref) []string {
		list := docker(t, "ps", "-a", "--filter", "name=^/"+name(ref)+"$", "--format", "{{.Names}} {{.Status}}")
		return append(m.traces(t, ref), strings.Fields(list)...)
	}
	d.Inspect = func(t testing.TB, ref backends.Ref) string {
		return docker(t, "inspect", name(ref)) + docker(t, "logs", name(ref))
	}
	d.Vanish = func(t testing.TB, ref backends.Ref) { docker(t, "rm", "-f", name(ref)) }
	d.Many = 6
	if whole() {
		backendtest.Run(t, d, nil)
		return
	}
	for _, subject := range []string{"end", "logs", "outputs", "observe", "secrets", "stop", "lost"} {
		backendtest.RunSubject(t, d, subject)
	}
}

// What runs pulled there is pruned there.
func TestPulledImagesArePruned(t *testing.T) {
	t.Parallel()
	engine, registry := testenv.Docker(t), testenv.Registry(t, false)
	reference := registry.Push(engine.Small, "pulled/"+strings.ToLower(rand.Text())+":1")
	has := func() bool { return engine.Command(t.Context(), "image", "inspect", reference).Run() == nil }
	m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
	m.Socket = engineFor(t, engine, m.account)
	b := m.open(t)
	r := &environment.Resolved{Kind: environment.Image, Digest: "sha256:" + strings.Repeat("e", 64), Docker: &environment.Docker{Image: reference}}
	if err := b.EnsureEnvironment(t.Context(), r, "", nil, nil); err != nil || !has() {
		t.Fatal(err)
	}
	notes := filepath.Join(string(m.Root), "images")
	if found, err := os.ReadDir(notes); err != nil || len(found) != 1 {
		t.Errorf("notes %v, %v", found, err)
	}
	ask := backends.Pruning{Kinds: []backends.PruneKind{backends.PruneImages}, Environments: []string{r.Digest}}
	if freed, err := b.Prune(t.Context(), ask); err != nil || len(freed) > 0 || !has() {
		t.Errorf("a run wants it: freed %+v, %v", freed, err)
	}
	ask.Environments = nil
	freed, err := b.Prune(t.Context(), ask)
	if err != nil || len(freed) != 1 || freed[0].Kind != backends.PrunePulled || freed[0].Names[0] != reference || has() {
		t.Errorf("freed %+v, %v", freed, err)
	}
	if found, err := os.ReadDir(notes); err != nil || len(found) > 0 {
		t.Errorf("notes %v, %v", found, err)
	}
}
