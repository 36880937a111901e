package supervise_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

// TestOverSSH keeps processes on a machine that only SSH leads to, as a user
// without rights, on servers of several kinds.
func TestOverSSH(t *testing.T) {
	for _, c := range []struct {
		name   string
		server testenv.SSHOptions
		user   testenv.SSHUser
	}{
		{name: "usual"},
		{name: "no SFTP, one session, tcsh, noisy", server: testenv.SSHOptions{NoSFTP: true, MaxSessions: 1}, user: testenv.SSHUser{
			Shell: "/bin/tcsh", Files: map[string]string{".cshrc": "echo hello\n"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := testenv.SSHD(t, c.server)
			line := testenv.Cut(t, server.Address)
			user := server.User(c.user)
			h, err := sshhost.Open(t.Context(), sshhost.Config{
				Address: user.Name + "@" + line.Address, HostKey: server.Fingerprint, IdentityFiles: []string{user.Key}, AgentSocket: "none", ConfigFiles: []string{},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			})
			overSSH(t, h, line)
		})
	}
}

func overSSH(t *testing.T, h *sshhost.Host, line *testenv.Line) {
	t.Helper()
	ctx := t.Context()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(self)
	if err != nil {
		t.Fatal(err)
	}
	start := line.Passed()
	line.ResetAfter(2 << 20)
	bin, err := supervise.Install(ctx, h, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Packed, and most of it once.
	if moved := line.Passed() - start; moved > info.Size()*3/4 {
		t.Errorf("%d bytes were moved for a program of %d", moved, info.Size())
	}
	if dir := path.Dir(bin); dir != h.Root()+"/bin" {
		t.Errorf("installed in %s", dir)
	}
	before := line.Passed()
	again, err := supervise.Install(ctx, h, nil, nil)
	if err != nil || again != bin {
		t.Errorf("the second time: %s, %v", again, err)
	}
	if moved := line.Passed() - before; moved > 64<<10 {
		t.Errorf("the second time %d bytes were moved", moved)
	}
	k := supervise.New(h, bin)

	var dirs []string
	for i := range 3 {
		dir := path.Join(h.Root(), fmt.Sprintf("attempt %d", i))
		dirs = append(dirs, dir)
		mark := fmt.Sprintf("test-ssh-%d-%s.1", i, path.Base(h.Root()+bin))
		t.Cleanup(func() {
			if err := k.Clean(t.Context(), dir); err != nil && t.Context().Err() == nil {
				t.Error("clean:", err)
			}
		})
		script := fmt.Sprintf("echo begin %d; trap 'echo asked; exit 5' TERM; while [ ! -e go ]; do sleep 0.02; done; echo end", i)
		launch := supervise.Launch{Mark: mark, Argv: []string{"/bin/sh", "-c", script}, Inherit: true, Dir: h.Root()}
		s, err := k.Start(ctx, dir, launch)
		if err != nil {
			t.Fatal(err)
		}
		if s.Phase != supervise.Running {
			t.Fatalf("it is %s", s.Phase)
		}
		twice, err := k.Start(ctx, dir, launch)
		if err != nil || twice.PID != s.PID {
			t.Errorf("started twice: %+v, %v", twice, err)
		}
	}

	log, err := k.OpenLog(ctx, dirs[0], 0, true)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	if text, err := lines.ReadString('\n'); err != nil || text != "begin 0\n" {
		t.Errorf("the log says %q, %v", text, err)
	}
	if err := k.Stop(ctx, dirs[2], 10*time.Second); err != nil {
		t.Error("stop:", err)
	}
	if s := statusWhen(t, k, dirs[2]); s.Phase != supervise.Ended || s.ExitCode != 5 {
		t.Errorf("after stop: %+v", s)
	}

	// The line breaks; the processes do not mind.
	line.Reset()
	if s, err := k.Status(ctx, dirs); err != nil || s[0].Phase != supervise.Running || s[1].Phase != supervise.Running || s[2].Phase != supervise.Ended {
		t.Fatalf("after a reset: %+v, %v", s, err)
	}
	if _, err := io.ReadAll(lines); !errors.Is(err, sshhost.ErrUnreachable) {
		t.Errorf("a log that was cut ends with %v", err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	follow, err := k.OpenLog(ctx, dirs[0], int64(len("begin 0\n")), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(ctx, path.Join(h.Root(), "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if rest := readAll(t, follow, nil); rest != "end\n" {
		t.Errorf("from there on the log says %q", rest)
	}
	if s := statusWhen(t, k, dirs[0]); s.Phase != supervise.Ended || s.ExitCode != 0 {
		t.Errorf("at the end: %+v", s)
	}
	if text := readAll(t, must(t)(k.OpenLog(ctx, dirs[2], 0, false)), nil); !strings.HasPrefix(text, "begin 2\n") || !strings.HasSuffix(text, "asked\n") {
		t.Errorf("the log of the stopped one: %q", text)
	}
	for _, dir := range dirs {
		if err := errors.Join(k.Clean(ctx, dir), h.RemoveAll(ctx, dir)); err != nil {
			t.Error(err)
		}
	}
	nothingRuns(t, h)
}

func must(t *testing.T) func(io.ReadCloser, error) io.ReadCloser {
	return func(r io.ReadCloser, err error) io.ReadCloser {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func statusWhen(t *testing.T, k *supervise.Keeper, dir string) supervise.Status {
	t.Helper()
	var last supervise.Status
	eventually(t, "its end", func() bool {
		s, err := k.Status(t.Context(), []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		last = s[0]
		return last.Phase == supervise.Ended || last.Phase == supervise.Lost
	})
	return last
}

// nothingRuns checks that no process of ours is left but those that look.
func nothingRuns(t *testing.T, h *sshhost.Host) {
	t.Helper()
	eventually(t, "nothing of ours to run", func() bool {
		var out strings.Builder
		err := h.Run(t.Context(), host.Command{Argv: []string{"sh", "-c", `ps -o args= -u "$(id -u)"`}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(out.String()) {
			if strings.Contains(text, "supervise") {
				return false
			}
		}
		return true
	})
	entries, err := h.ReadDir(t.Context(), h.Root())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "bin" && e.Name() != "go" {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func TestInstallOnAnotherKindOfMachine(t *testing.T) {
	server := testenv.SSHD(t, testenv.SSHOptions{})
	// Its uname comes first in the path of this user.
	user := server.User(testenv.SSHUser{Files: map[string]string{
		".bashrc": "PATH=$HOME/bin:$PATH\n", "bin/uname": "#!/bin/sh\ncase $1 in -snm) echo Linux gpubox aarch64;; *) exec /bin/uname \"$@\";; esac\n",
	}})
	if err := os.Chmod(user.Home+"/bin/uname", 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := sshhost.Open(t.Context(), sshhost.Config{
		Address: user.Name + "@" + server.Address, HostKey: server.Fingerprint, IdentityFiles: []string{user.Key}, AgentSocket: "none", ConfigFiles: []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	_, err = supervise.Install(t.Context(), h, nil, nil)
	missing, ok := errors.AsType[*program.MissingError](err)
	if !ok || missing.Platform != "linux/arm64" {
		t.Errorf("error %v", err)
	}
}
