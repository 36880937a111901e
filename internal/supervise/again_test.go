package supervise_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// supervisorOf is the process id of a directory's supervisor.
func (b *bench) supervisorOf() int {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "lock"))
	if err != nil {
		b.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

// What was started and is gone can be started again where its launch says so: its
// log goes on, and its time. What is kept stays as it is.
func TestStartedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(b *bench, first supervise.Status)
		was  supervise.Phase
	}{
		{"its supervisor was killed", func(b *bench, _ supervise.Status) {
			_ = syscall.Kill(b.supervisorOf(), syscall.SIGKILL)
		}, supervise.Lost},
		{"it was killed itself", func(_ *bench, first supervise.Status) {
			_ = syscall.Kill(first.PID, syscall.SIGKILL)
		}, supervise.Ended},
		{"the machine shuts down", func(b *bench, _ supervise.Status) {
			_ = syscall.Kill(b.supervisorOf(), syscall.SIGTERM)
		}, supervise.Ended},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			l := b.sh(`trap 'echo told' TERM; echo begun; while [ ! -e go ]; do sleep 0.01; done; echo done; exit 4`)
			l.Elsewhere, l.Grace = true, time.Minute
			first := b.start(l)
			b.said("begun\n")
			c.end(b, first)
			if s := b.wait(); s.Phase != c.was {
				t.Fatalf("it is %+v", s)
			}
			l.Again = true
			second := b.start(l)
			if second.Phase != supervise.Running || !second.StartedAt.Equal(first.StartedAt) {
				t.Errorf("started again: %+v, the first: %+v", second, first)
			}
			if third := b.start(l); third.PID != second.PID {
				t.Errorf("one that runs was started again: %+v", third)
			}
			b.said("begun\nbegun\n")
			if err := os.WriteFile(filepath.Join(l.Dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if s := b.wait(); s.Phase != supervise.Ended || s.Cause != supervise.Exited || s.ExitCode != 4 || s.Terminated {
				t.Errorf("ended %+v", s)
			}
			if got := b.log(); got != "begun\nbegun\ndone\n" {
				t.Errorf("log %q", got)
			}
		})
	}
}

// A wish to stop, and a limit of time, count for what is started again, too.
func TestStartedAgainToEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		max  time.Duration
		stop bool
		want supervise.Cause
	}{
		{"somebody had wished it", 0, true, supervise.Stopped},
		{"its time is over", time.Second, false, supervise.TimedOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			l := b.sh("echo begun; exec sleep 1000")
			l.MaxDuration = c.max
			first := b.start(l)
			b.said("begun\n")
			_ = syscall.Kill(b.supervisorOf(), syscall.SIGKILL)
			if s := b.wait(); s.Phase != supervise.Lost {
				t.Fatalf("it is %+v", s)
			}
			if c.stop {
				if err := supervise.Wish(b.dir, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "its time to be over", func() bool { return time.Since(first.StartedAt) > c.max })
			l.Again = true
			b.start(l)
			if s := b.wait(); s.Cause != c.want {
				t.Errorf("ended %+v", s)
			}
		})
	}
}
