package supervise_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/supervise"
)

const loop = "; while :; do sleep 0.01; done"

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		grace  time.Duration
		far    bool
		want   supervise.Status
	}{
		{name: "that is obeyed", script: "echo on; exec sleep 1000", grace: time.Minute, want: supervise.Status{ExitCode: 143, Signal: "SIGTERM"}},
		{name: "that is obeyed, from afar", script: "echo on; exec sleep 1000", grace: time.Minute, far: true, want: supervise.Status{ExitCode: 143, Signal: "SIGTERM"}},
		{name: "that is answered with a good end", script: "exec 2>/dev/null; trap 'exit 0' TERM; echo on" + loop, grace: time.Minute},
		{name: "of one that was halted", script: "echo on; kill -STOP $$; exec sleep 1000", grace: time.Minute, want: supervise.Status{ExitCode: 143, Signal: "SIGTERM"}},
		{name: "that is ignored", script: "trap '' TERM; echo on" + loop, grace: 100 * time.Millisecond, want: supervise.Status{ExitCode: 137, Signal: "SIGKILL"}},
		{name: "without grace", script: "trap '' TERM; echo on" + loop, want: supervise.Status{ExitCode: 137, Signal: "SIGKILL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.start(b.sh(c.script))
			b.said("on")
			k := b.Keeper
			if c.far {
				k = b.remote()
			}
			if err := k.Stop(t.Context(), b.dir, c.grace); err != nil {
				t.Fatal(err)
			}
			c.want.Phase, c.want.Cause, c.want.LogBytes = supervise.Ended, supervise.Stopped, 3
			if diff := cmp.Diff(c.want, b.wait(), whatItIs); diff != "" {
				t.Error(diff)
			}
			if err := k.Stop(t.Context(), b.dir, c.grace); err != nil {
				t.Error("stop what has ended:", err)
			}
		})
	}
	t.Run("is passed on by one who says so", func(t *testing.T) {
		b := newBench(t)
		l := b.sh(`trap 'kill -TERM $child; wait $child; exit 7' TERM; sh -c 'trap "echo once" TERM; echo on; while :; do read x </dev/null; sleep 0.01; done' & child=$!; ` +
			`while :; do wait $child; done`)
		l.PassesOn = true
		b.start(l)
		b.said("on")
		if err := b.Stop(t.Context(), b.dir, 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if s := b.wait(); s.Cause != supervise.Stopped || s.ExitCode != 137 {
			t.Errorf("ended %+v", s)
		}
		if got := b.log(); got != "on\nonce\n" {
			t.Errorf("said %q", got)
		}
	})
	t.Run("a shorter grace counts", func(t *testing.T) {
		b := newBench(t)
		b.start(b.sh("trap '' TERM; echo on" + loop))
		b.said("on")
		for _, grace := range []time.Duration{time.Hour, 50 * time.Millisecond} {
			if err := b.Stop(t.Context(), b.dir, grace); err != nil {
				t.Fatal(err)
			}
		}
		if s := b.wait(); s.Cause != supervise.Stopped || s.Signal != "SIGKILL" {
			t.Errorf("%+v", s)
		}
	})
	t.Run("after its end it stays as it was", func(t *testing.T) {
		b := newBench(t)
		b.start(b.sh("exit 4"))
		b.wait()
		if err := b.Stop(t.Context(), b.dir, 0); err != nil {
			t.Fatal(err)
		}
		if s := b.wait(); s.Cause != supervise.Exited || s.ExitCode != 4 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("of what never was", func(t *testing.T) {
		b := newBench(t)
		if err := b.Stop(t.Context(), b.dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// supervisor is the pid of the supervisor of a directory.
func (b *bench) supervisor() int {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "lock"))
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(data), "\n", 2)[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

func TestSupervisorIsTold(t *testing.T) {
	t.Run("to end: it passes that on", func(t *testing.T) {
		b := newBench(t)
		b.start(b.sh("exec 2>/dev/null; trap 'echo bye; exit 9' TERM; echo on" + loop))
		b.said("on")
		if err := syscall.Kill(b.supervisor(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		want := supervise.Status{Phase: supervise.Ended, Cause: supervise.Exited, ExitCode: 9, Terminated: true, LogBytes: 7}
		if diff := cmp.Diff(want, b.wait(), whatItIs); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("anything else: it passes that on", func(t *testing.T) {
		b := newBench(t)
		b.start(b.sh("exec 2>/dev/null; trap 'echo usr1; exit 8' USR1; echo on" + loop))
		b.said("on")
		if err := syscall.Kill(b.supervisor(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if s := b.wait(); s.ExitCode != 8 || s.Terminated {
			t.Errorf("%+v", s)
		}
	})
	t.Run("killed: the process goes too, and is lost", func(t *testing.T) {
		b := newBench(t)
		s := b.start(b.sh("setsid sh -c 'echo $$ > stray; exec sleep 1000' & echo on; wait"))
		b.said("on")
		stray := b.pidIn("stray")
		if err := syscall.Kill(b.supervisor(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := b.wait(); got.Phase != supervise.Lost || got.Rebooted {
			t.Errorf("%+v", got)
		}
		eventually(t, "the process to go", func() bool { return gone(s.PID) })
		if err := b.Clean(t.Context(), b.dir); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the stray to go", func() bool { return gone(stray) })
		if again := b.start(b.sh("echo again")); again.Phase != supervise.Lost {
			t.Errorf("started again: %+v", again)
		}
	})
}

// pidIn waits for a pid in a file beside the directory.
func (b *bench) pidIn(name string) int {
	b.t.Helper()
	pid := 0
	eventually(b.t, name, func() bool {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(b.dir), name))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil
	})
	return pid
}

// gone says that a process runs no more.
func gone(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	return strings.Contains(string(data), ") Z ")
}

func TestLeftoversGo(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"a background job", "sh -c 'echo $$ > stray; exec sleep 1000' & while ! test -s stray; do sleep 0.01; done; echo done; exit 5"},
		{"a daemon in its own session that holds the pipe", "setsid sh -c 'trap \"\" TERM HUP; echo $$ > stray" + loop + "' & while ! test -s stray; do sleep 0.01; done; echo done; exit 5"},
		{"a double forked daemon without the mark", "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > stray; exec sleep 1000' &) ; while ! test -s stray; do sleep 0.01; done; echo done; exit 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.start(b.sh(c.script))
			s := b.wait()
			if s.Cause != supervise.Exited || s.ExitCode != 5 {
				t.Errorf("%+v", s)
			}
			if pid := b.pidIn("stray"); !gone(pid) {
				t.Error("it still runs")
			}
			if b.log() != "done\n" {
				t.Errorf("log: %q", b.log())
			}
		})
	}
}

func TestStartTwiceAtOnce(t *testing.T) {
	b := newBench(t)
	l := b.sh("echo one >> count; sleep 0.2")
	var wg sync.WaitGroup
	pids := make(chan int, 50)
	for range 50 {
		wg.Go(func() {
			s, err := b.Start(context.Background(), b.dir, l)
			if err != nil {
				t.Error(err)
			}
			pids <- s.PID
		})
	}
	wg.Wait()
	close(pids)
	first := <-pids
	for p := range pids {
		if p != first || p == 0 {
			t.Errorf("pids %d and %d", first, p)
		}
	}
	b.wait()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(b.dir), "count"))
	if err != nil || string(data) != "one\n" {
		t.Errorf("%q %v", data, err)
	}
}
