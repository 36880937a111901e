package supervise_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/supervise"
)

// buildRunner builds the small static program of testdata/runner.
func buildRunner(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "runner")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, "./testdata/runner")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// TestContainer runs the supervisor as process 1 of namespaces of its own, in a
// root that holds nothing but it.
func TestContainer(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root on Linux can make namespaces everywhere")
	}
	bin := buildRunner(t)
	for _, c := range []struct {
		name, word, arg string
		uid             int
		// then is done once it says "on".
		then func(*testing.T, *bench, *os.Process)
		code int
		want supervise.Status
		log  string
	}{
		{name: "its code is the container's", word: "exit", arg: "7", code: 7, want: supervise.Status{Cause: supervise.Exited, ExitCode: 7}, log: "uid 0 parent 1 args 3\n"},
		{name: "as anybody", word: "exit", arg: "0", uid: 12345, want: supervise.Status{Cause: supervise.Exited}, log: "uid 12345 parent 1 args 3\n"},
		{name: "by a signal", word: "die", code: 137, want: supervise.Status{Cause: supervise.Exited, ExitCode: 137, Signal: "SIGKILL"}},
		{name: "orphans are reaped, leftovers killed", word: "orphans", want: supervise.Status{Cause: supervise.Exited}, log: "left\n"},
		{
			name: "stopped by its engine", word: "obey", code: 3,
			then: func(t *testing.T, _ *bench, p *os.Process) { signalInside(t, p) },
			want: supervise.Status{Cause: supervise.Exited, ExitCode: 3, Terminated: true}, log: "on\nasked\n",
		},
		{
			name: "stopped by a wish", word: "hang", code: 137,
			then: func(t *testing.T, b *bench, p *os.Process) {
				if err := supervise.Wish(b.dir, 100*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				if err := b.Stop(t.Context(), b.dir, 100*time.Millisecond); err == nil {
					t.Error("Stop says that it reached a supervisor in another namespace")
				}
				signalInside(t, p)
			},
			want: supervise.Status{Cause: supervise.Stopped, ExitCode: 137, Signal: "SIGKILL"}, log: "on\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			root := t.TempDir()
			b.dir = filepath.Join(root, "attempt")
			for _, d := range []string{"proc", "attempt", "work"} {
				if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Link(bin, filepath.Join(root, "runner")); err != nil {
				t.Fatal(err)
			}
			l := b.launch("/runner", c.word)
			if c.arg != "" {
				l.Argv = append(l.Argv, c.arg)
			}
			l.Dir = "/work"
			in := supervise.InContainer{Bin: "/runner", Dir: "/attempt", UID: &c.uid, GID: &c.uid}
			argv, err := supervise.LaunchInContainer(t.Context(), b.here, b.dir, l, in)
			if err != nil {
				t.Fatal(err)
			}
			cmd := b.inside(root, c.uid, argv)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if c.then != nil {
				b.said("on")
				if s := supervise.StatusOf(b.dir); s.Phase != supervise.Running {
					t.Errorf("from outside: %+v", s)
				}
				c.then(t, b, cmd.Process)
			}
			code := 0
			var failed *exec.ExitError
			if err := cmd.Wait(); errors.As(err, &failed) {
				code = failed.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code {
				t.Errorf("the container's code is %d, want %d", code, c.code)
			}
			c.want.Phase, c.want.LogBytes = supervise.Ended, int64(len(c.log))
			if diff := cmp.Diff(c.want, supervise.StatusOf(b.dir), whatItIs); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.log, b.log()); diff != "" {
				t.Error(diff)
			}
			if _, err := os.Stat(filepath.Join(b.dir, "launch.json")); !errors.Is(err, os.ErrNotExist) {
				t.Error("the launch, which holds secrets, is still there")
			}
			again := b.inside(root, c.uid, argv)
			if err := again.Run(); !errors.As(err, &failed) && c.code != 0 || again.ProcessState.ExitCode() != c.code {
				t.Errorf("started again it ends with %d, %v", again.ProcessState.ExitCode(), err)
			}
		})
	}
}

// inside is a command line as process 1 below root.
func (b *bench) inside(root string, uid int, argv []string) *exec.Cmd {
	script := `mount -t proc proc "$1/proc" && root=$1 && user=$2 && shift 2 && exec chroot --userspec="$user" "$root" "$@"`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh", root, userSpec(uid)}, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	return cmd
}

func signalInside(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
