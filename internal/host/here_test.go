package host_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/hosttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHere(t *testing.T) *host.Here {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := host.NewHere(root)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestHere(t *testing.T) {
	hosttest.Suite(t, func() host.Host { return newHere(t) })
}

// TestHereWithoutRoot is the suite as a user whom permission bits stop.
func TestHereWithoutRoot(t *testing.T) {
	if os.Getenv("AS_NOBODY") != "" {
		hosttest.Suite(t, func() host.Host {
			dir, err := os.MkdirTemp(os.Getenv("AS_NOBODY"), "root-*") //nolint:usetesting // that directory is root's
			if err != nil {
				t.Fatal(err)
			}
			h := host.NewHere(dir)
			t.Cleanup(func() { _ = h.Close() })
			return h
		})
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("TestHere did this already: we are not root")
	}
	dir, err := os.MkdirTemp("", "nobody-*") //nolint:usetesting // nobody must get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	bin := filepath.Join(dir, "test")
	if err := errors.Join(err, os.WriteFile(bin, self, 0o755), os.Chmod(dir, 0o777)); err != nil { //nolint:gosec // for nobody
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-test.run=^TestHereWithoutRoot$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "AS_NOBODY="+dir, "HOME=/nonexistent", "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestSpawnInheritsNothing: a shell may have started us with files of its own.
func TestSpawnInheritsNothing(t *testing.T) {
	h := newHere(t)
	fd, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	answer, err := h.Spawn(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo $(ls /proc/$$/fd)"}})
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(answer) {
		if name != "0" && name != "1" && name != "2" && name != "10" && name != "3" {
			t.Errorf("it has descriptors %s", answer)
		}
	}
	if link, err := os.Readlink("/proc/self/fd/3"); err == nil && strings.Contains(answer, "3") && link == "/dev/null" {
		t.Errorf("it has descriptors %s", answer)
	}
}

// TestCloseAbandons: what Spawn started goes on when we close.
func TestCloseAbandons(t *testing.T) {
	h := newHere(t)
	answer, err := h.Spawn(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("kill", "-9", answer).Run(); err != nil {
		t.Errorf("it did not live on: %v", err)
	}
}

func TestExitErrorText(t *testing.T) {
	for _, c := range []struct {
		name string
		err  host.ExitError
		want string
	}{
		{"code", host.ExitError{Argv: []string{"sbatch", "x"}, Code: 3}, "sbatch ended with exit code 3"},
		{"signal", host.ExitError{Argv: []string{"sbatch"}, Code: 137, Signal: "SIGKILL"}, "sbatch was ended by SIGKILL"},
		{"with its words", host.ExitError{Argv: []string{"sbatch"}, Code: 1, Stderr: "no such partition\n"}, "sbatch ended with exit code 1: no such partition"},
		{"without argv", host.ExitError{Code: 1}, "command ended with exit code 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStderrIsBounded(t *testing.T) {
	h := newHere(t)
	err := h.Run(t.Context(), host.Command{Argv: []string{"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1"}})
	var failed *host.ExitError
	if !errors.As(err, &failed) || len(failed.Stderr) != 4096 || !strings.HasSuffix(failed.Stderr, "the end\n") {
		t.Errorf("%d bytes, error %T", len(failed.Stderr), err)
	}
}
