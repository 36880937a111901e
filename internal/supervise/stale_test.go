package supervise_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/supervise"
)

// TestSupervisorDiedBeforeItsFirstWord: it had started the process, and was
// gone before it could write that down. The next start ends what is left of
// the first.
func TestSupervisorDiedBeforeItsFirstWord(t *testing.T) {
	b := newBench(t)
	l := b.sh("echo second; exit 4")
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first := exec.Command("sleep", "1000")
	first.Env = append(os.Environ(), "RUNNER_MARK="+l.Mark)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	lock := fmt.Sprintf("%d\nstart 1\nmark %s\n", first.Process.Pid, l.Mark)
	if err := os.WriteFile(filepath.Join(b.dir, "lock"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := supervise.StatusOf(b.dir); s.Phase != supervise.Absent {
		t.Errorf("%+v", s)
	}
	b.start(l)
	if err := <-ended; err == nil {
		t.Error("the first ended well")
	}
	if s := b.wait(); s.ExitCode != 4 || b.log() != "second\n" {
		t.Errorf("%+v: %s", s, b.log())
	}
}

// TestStopReachesNobodyElse: the pid in a lock file may be another's by now.
func TestStopReachesNobodyElse(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	lock := fmt.Sprintf("%d\nstart 1\nmark other.1\n", other.Process.Pid)
	if err := os.WriteFile(filepath.Join(b.dir, "lock"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(t.Context(), b.dir, 0); err != nil {
		t.Error(err)
	}
	if err := b.Clean(t.Context(), b.dir); err != nil {
		t.Error(err)
	}
	if gone(other.Process.Pid) {
		t.Error("somebody else was killed")
	}
	if err := other.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = other.Wait() // killed
}
