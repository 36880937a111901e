package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDockerRunsContainers(t *testing.T) {
	e := Docker(t)
	Leaks(t, e, fmt.Sprintf("dev.runner.runtest=%d", os.Getpid()))
	listener, err := net.Listen("tcp", net.JoinHostPort(e.Gateway, "0"))
	if err != nil {
		t.Fatalf("listen on the gateway: %v", err)
	}
	defer func() { _ = listener.Close() }()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello from the host"))
			_ = conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port

	tests := []struct {
		name, image string
		command     []string
		want        string
	}{
		{"python", e.Base, []string{"python3", "-c", "import sys; print(sys.version_info[0])"}, "3\n"},
		{"venv with pip", e.Base, []string{"sh", "-c", "python3 -m venv /v && /v/bin/python -c 'import pip; print(pip.__name__)'"}, "pip\n"},
		{"shell", e.Small, []string{"sh", "-c", "echo $((6*7))"}, "42\n"},
		{"reaches this machine", e.Base, []string{"python3", "-c", fmt.Sprintf(
			"import socket; print(socket.create_connection((%q, %d), 5).recv(100).decode())", e.Gateway, port)}, "hello from the host\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := output(e.Command(t.Context(), append([]string{"run", "--rm", "--label", "dev.runner.test=1", test.image}, test.command...)...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
	_ = listener.Close()
	<-answered
}

func TestDockerIsSharedAndFast(t *testing.T) {
	first := Docker(t)
	began := time.Now()
	second := Docker(t)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a warm start took %s, want less than 2s", took)
	}
	if first != second {
		t.Errorf("two engines: %v and %v", first, second)
	}
}

func TestImageLastsAsLongAsItsTest(t *testing.T) {
	e := Docker(t)
	const reference = "runner-test/made-by-a-test:1"
	t.Run("made", func(t *testing.T) {
		busybox, err := os.ReadFile("/bin/busybox")
		if err != nil {
			t.Fatal(err)
		}
		tree, err := busyboxTree(busybox)
		if err != nil {
			t.Fatal(err)
		}
		e.Image(t, reference, tree, "ENV GREETING=hi")
		got, err := output(e.Command(t.Context(), "run", "--rm", reference, "sh", "-c", "echo $GREETING"))
		if err != nil || got != "hi\n" {
			t.Errorf("got %q, %v; want hi", got, err)
		}
	})
	if _, err := e.image(t.Context(), reference); !errors.Is(err, errNotFound) {
		t.Errorf("the image outlived its test: %v", err)
	}
}

func TestLeaksFindsWhatIsLeft(t *testing.T) {
	e := Docker(t)
	label := fmt.Sprintf("dev.runner.leaktest=%d", os.Getpid())
	tests := []struct {
		name  string
		label string
		leaks bool
	}{
		{"a container of Runner's", label, true},
		{"somebody else's container", "org.example.a=b", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recorder := &recordingTB{TB: t}
			Leaks(recorder, e, label) // a label, or it would take other tests' containers
			id, err := output(e.Command(t.Context(), "create", "--label", test.label, e.Small, "true"))
			if err != nil {
				t.Fatal(err)
			}
			id = strings.TrimSpace(id)
			defer func() { _ = e.Command(context.WithoutCancel(t.Context()), "rm", "--force", id).Run() }()
			recorder.runCleanups()
			found := strings.Contains(strings.Join(recorder.errors, "\n"), id[:12])
			if found != test.leaks {
				t.Errorf("reported: %v, want %v; errors: %q", found, test.leaks, recorder.errors)
			}
			_, err = output(e.Command(t.Context(), "inspect", id))
			if removed := err != nil; removed != test.leaks {
				t.Errorf("removed: %v, want %v", removed, test.leaks)
			}
		})
	}
}

// recordingTB keeps what a helper under test reports, in place of failing the test.
type recordingTB struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recordingTB) Helper()                   {}
func (r *recordingTB) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recordingTB) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }

func (r *recordingTB) runCleanups() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

// TestKilledEngineIsTakenOver uses an engine of its own, since others use the shared one.
func TestKilledEngineIsTakenOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to start a Docker engine of its own")
	}
	state, err := os.MkdirTemp("", "te")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNNER_TESTENV", state)
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		if err := Clean(ctx); err != nil {
			t.Errorf("clean: %v", err)
		}
		if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something is left in %s: %v", state, err)
		}
		if left := running(state, "dockerd", "containerd", "containerd-shim-runc-v2"); len(left) > 0 {
			t.Errorf("processes left: %v", left)
		}
		if device, err := net.InterfaceByName(bridgeName(filepath.Join(state, "docker"))); err == nil {
			t.Errorf("bridge left: %s", device.Name)
		}
	})
	dir, err := stateSubdir("docker")
	if err != nil {
		t.Fatal(err)
	}
	e := engineIn(dir)
	if _, err := e.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.ensureSmall(t.Context()); err != nil {
		t.Fatal(err)
	}
	script := `trap "exit 0" TERM; while true; do sleep 0.1; done`
	if _, err := output(e.Command(t.Context(), "run", "--detach", "--name", "orphan", e.Small, "sh", "-c", script)); err != nil {
		t.Fatal(err)
	}
	killed := e.pid()
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for e.pid() == killed {
		if err := pause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.start(t.Context()); err != nil {
		t.Fatalf("start after kill -9: %v", err)
	}
	got, err := output(e.Command(t.Context(), "inspect", "--format", "{{.State.Running}}", "orphan"))
	if err != nil || got != "false\n" {
		t.Errorf("the container of the killed engine runs: %q, %v; want false", got, err)
	}
}
