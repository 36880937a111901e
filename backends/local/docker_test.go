package local_test

import (
	"context"
	"io"
	"net"
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

// gate is a way to an engine's socket that can be shut.
type gate struct {
	socket string // its own
	engine string

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

func newGate(t *testing.T, engine string) *gate {
	t.Helper()
	// Not in t.TempDir: its name may be too long for a socket.
	g := &gate{socket: filepath.Join(home(t), "s"), engine: strings.TrimPrefix(engine, "unix://"), conns: map[net.Conn]struct{}{}}
	listener, err := net.Listen("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	g.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			g.work.Go(func() { g.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		g.close()
		g.work.Wait()
	})
	return g
}

func (g *gate) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	up, err := net.Dial("unix", g.engine)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	if !g.enter(conn, up) {
		return
	}
	var both sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { pipe(up, conn) })
	both.Go(func() { pipe(conn, up) })
	both.Wait()
}

func (g *gate) enter(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		g.conns[c] = struct{}{}
	}
	return !g.shut
}

// close cuts all who are connected and lets nobody in.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

func dockerTarget(t *testing.T, home string, engine testenv.Engine) (backendtest.Target, *gate) {
	t.Helper()
	g := newGate(t, engine.Host)
	d := target(t, home, g.socket)
	d.Environment = &environment.Resolved{
		Kind: environment.Image, Digest: "sha256:" + strings.Repeat("d", 64), Interpreter: "python3",
		Docker: &environment.Docker{Image: engine.Base},
	}
	name := func(ref backends.Ref) string { return container.Mark{Run: ref.Run, Attempt: ref.Number}.Name() }
	docker := func(t testing.TB, args ...string) string {
		t.Helper()
		out, err := engine.Command(t.Context(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	onHost := d.Traces
	d.Traces = func(t testing.TB, ref backends.Ref) []string {
		left := onHost(t, ref)
		// In a cleanup, where the test's context has ended.
		out, err := engine.Command(context.WithoutCancel(t.Context()), "ps", "-a", "--filter", "name=^/"+name(ref)+"$", "--format", "{{.Names}} {{.Status}}").CombinedOutput()
		if err != nil {
			t.Fatalf("docker ps: %v: %s", err, out)
		}
		return append(left, strings.Fields(string(out))...)
	}
	d.Inspect = func(t testing.TB, ref backends.Ref) string {
		return docker(t, "inspect", name(ref)) + docker(t, "logs", name(ref))
	}
	d.Vanish = func(t testing.TB, ref backends.Ref) { docker(t, "rm", "-f", name(ref)) }
	d.CutOff = func(testing.TB) func() {
		g.close()
		return g.open
	}
	d.Many = 10
	return d, g
}

func TestDocker(t *testing.T) {
	engine := testenv.Docker(t)
	home := home(t)
	testenv.Leaks(t, engine, container.LabelHome+"=test-"+filepath.Base(home))
	d, _ := dockerTarget(t, home, engine)
	backendtest.Run(t, d, nil)
}
