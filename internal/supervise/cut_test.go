package supervise_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// TestLaunchCut: the agent dies while it hands the launch over.
func TestLaunchCut(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := b.sh("echo ran > ran")
	l.Redact = []string{"a secret"}
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} {
		cmd := exec.Command(bin, "supervise", b.dir)
		cmd.Stdin = bytes.NewReader(data[:n])
		out, err := cmd.CombinedOutput()
		var failed *exec.ExitError
		if !errors.As(err, &failed) || failed.ExitCode() != 125 || !strings.Contains(string(out), "it is not whole") {
			t.Errorf("cut at %d: %v, %s", n, err, out)
		}
		entries, err := os.ReadDir(b.dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("cut at %d: left %v, %v", n, entries, err)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(b.dir), "ran")); !errors.Is(err, os.ErrNotExist) {
		t.Error("it ran")
	}
	// The whole launch, then, starts as if nothing had been.
	if s := b.start(l); s.Phase != supervise.Running {
		t.Errorf("%+v", s)
	}
	b.wait()
}

// TestNobodyReadsTheAnswer: the agent dies when all is handed over.
func TestNobodyReadsTheAnswer(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(b.sh("echo ran; exit 5"))
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "supervise", b.dir)
	cmd.Stdin, cmd.Stdout = bytes.NewReader(data), w
	if err := errors.Join(r.Close(), cmd.Run(), w.Close()); err != nil {
		t.Error(err)
	}
	if s := b.wait(); s.Cause != supervise.Exited || s.ExitCode != 5 {
		t.Errorf("%+v", s)
	}
}

// TestStartWhereNothingCanBe: a start that fails leaves nothing and says why.
func TestStartWhereNothingCanBe(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Start(t.Context(), b.dir, b.sh("true")); err == nil {
		t.Error("started in a file")
	}
	if err := os.Remove(b.dir); err != nil {
		t.Fatal(err)
	}
	k := supervise.New(b.here, "/no/such/runner")
	if _, err := k.Start(t.Context(), b.dir, b.sh("true")); err == nil || !strings.Contains(err.Error(), "/no/such/runner") {
		t.Errorf("error %v", err)
	}
}

func TestInstall(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name string
		host host.Host
	}{{"here", b.here}, {"far away", faraway{host.NewHere(t.TempDir())}}} {
		t.Run(c.name, func(t *testing.T) {
			bin, err := supervise.Install(t.Context(), c.host, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(bin, c.host.Root()+"/bin/runner-") {
				t.Errorf("at %s", bin)
			}
			first, err := os.Stat(bin)
			if err != nil {
				t.Fatal(err)
			}
			again, err := supervise.Install(t.Context(), c.host, nil, nil)
			if err != nil || again != bin {
				t.Errorf("%s, %v", again, err)
			}
			if second, err := os.Stat(bin); err != nil || !os.SameFile(first, second) {
				t.Error("it was copied again")
			}
			if err := os.Truncate(bin, 1000); err != nil {
				t.Fatal(err)
			}
			if again, err := supervise.Install(t.Context(), c.host, nil, nil); err != nil || again != bin {
				t.Errorf("a damaged copy: %v", err)
			}
			old := filepath.Join(filepath.Dir(bin), "runner-0123456789ab")
			if err := os.WriteFile(old, nil, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := supervise.PruneBins(t.Context(), c.host, bin); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
				t.Error("the old one is still there")
			}
			k := supervise.New(c.host, bin)
			dir := filepath.Join(c.host.Root(), "attempt")
			if _, err := k.Start(t.Context(), dir, b.sh("exec sleep 1000")); err != nil {
				t.Fatal(err)
			}
			if _, here := c.host.(host.Local); here {
				if err := supervise.PruneBins(t.Context(), c.host); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(bin); err != nil {
					t.Error("one that runs was removed")
				}
			}
			if err := k.Clean(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
}
