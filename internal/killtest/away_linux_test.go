package killtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// cutForEver: a machine that does not come back costs the run, after the limit, and no more, also where no agent lives
// as long as that. When it does come back after all, what still runs there of it is ended.
func cutForEver(t *testing.T) {
	b := newBox(t)
	b.write(filepath.Join(b.cli.Home, "config.yaml"), []byte("unreachable_limit: 50s\n"))
	b.attach()
	id := b.submit(b.source(work{lines: 100_000, pause: "0.1"}))
	b.eventually("the script to run", func() bool { return b.show(id).State == run.Running })
	b.net.Down()
	cut := time.Now()
	b.eventually("it to be noticed", func() bool { return strings.HasPrefix(b.show(id).Message, "target unreachable since ") })
	killed := time.Now()
	b.killAgent()
	b.eventually("the run to be given up", func() bool {
		if time.Since(killed) > 40*time.Second { // less than the limit
			killed = time.Now()
			b.killAgent()
		}
		return b.show(id).State.Ended()
	})
	r := b.show(id)
	if r.Outcome == nil || *r.Outcome != run.OutcomeTargetUnreachable || len(r.Attempts) != 1 || !strings.HasPrefix(r.Message, "target unreachable since ") {
		t.Errorf("it ended otherwise: %s", b.cli.Run("show", id, "-o", "json"))
	}
	t.Logf("given up %s after the cut: %s", time.Since(cut).Round(time.Second), r.Message)
	_, err := b.cli.Try("wait", id)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 {
		t.Errorf("wait: %v", err)
	}
	if starts, err := os.ReadFile(filepath.Join(b.user.Home, "starts")); err != nil || string(starts) != "start\n" {
		t.Errorf("the script: %q, %v", starts, err)
	}
	b.net.Up()
	up := time.Now()
	b.nothingLeft()
	t.Logf("nothing of it runs any more %s after the line was back", time.Since(up).Round(time.Second))
	// The machine is as good as before.
	w := work{lines: 5, pause: "0.01"}
	if err := os.Remove(filepath.Join(b.user.Home, "starts")); err != nil {
		t.Error(err)
	}
	spec := b.source(w)
	b.ended(b.submit(spec), w, spec)
}

// said is what a command answers, and how long that took.
type said struct {
	out, err string
	code     int
	took     time.Duration
}

// ask runs a command that may fail; interrupt sends SIGINT after a while, zero: never.
func (b *box) ask(interrupt time.Duration, args ...string) said {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.cli.Bin, args...)
	cmd.Env = b.cli.Env
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if interrupt > 0 {
		timer := time.AfterFunc(interrupt, func() { _ = cmd.Process.Signal(syscall.SIGINT) }) // it may have ended
		defer timer.Stop()
	}
	_ = cmd.Wait() // its code says all
	s := said{out: out.String(), err: stderr.String(), code: cmd.ProcessState.ExitCode(), took: time.Since(began)}
	b.Logf("runner %s: exit code %d after %s\n%s%s", strings.Join(args, " "), s.code, s.took.Round(100*time.Millisecond), s.out, s.err)
	return s
}

// commandsWhileAway: while the line is down, each command answers soon and clearly, or waits and can be interrupted.
func commandsWhileAway(t *testing.T) {
	b := newBox(t)
	b.attach()
	w := work{lines: 400, pause: "0.2"}
	id := b.submit(b.source(w))
	b.eventually("the script to say something", func() bool { return strings.Contains(b.cli.Run("logs", id), "line 3\n") })
	b.net.Down()
	b.eventually("it to be noticed", func() bool { return strings.HasPrefix(b.show(id).Message, "target unreachable since ") })

	waiting := b.source(work{lines: 5, pause: "0.01"})
	const soon = 25 * time.Second // a try to connect has ten seconds
	for _, c := range []struct {
		name      string
		args      []string
		interrupt time.Duration
		code      int
		out, err  string // what is in there
	}{
		{name: "compute list", args: []string{"compute", "list"}, out: "unreachable"},
		{name: "compute show", args: []string{"compute", "show", "box"}, out: "target unreachable since "},
		{name: "compute check", args: []string{"compute", "check", "box"}, code: 3, err: "error: " + b.server.Address + " cannot be reached: "},
		{name: "doctor", args: []string{"doctor", "box"}, code: 3, err: "error: "},
		{name: "attach another", args: []string{
			"compute", "attach", "ssh", "other", "--address", b.user.Name + "@" + b.server.Address, "--identity", b.user.Key,
			"--host-key", b.server.Fingerprint, "--allow-same-machine", "--remote-dir", ".other",
		}, code: 3, err: " cannot be reached: "},
		{name: "detach", args: []string{"compute", "detach", "box"}, code: 2, err: "box has unfinished runs: 1"},
		{name: "logs", args: []string{"logs", id}, code: 3, err: "target unreachable since "},
		{name: "logs --tail", args: []string{"logs", id, "--tail", "2"}, code: 3, err: "target unreachable since "},
		{name: "follow", args: []string{"logs", "-f", id}, interrupt: 5 * time.Second, code: 130, err: "target unreachable since "},
		{name: "wait", args: []string{"wait", id}, interrupt: 2 * time.Second, code: 130},
		{name: "submit", args: []string{"submit", waiting}, interrupt: 6 * time.Second, code: 130, err: "target unreachable since "},
		{name: "outputs", args: []string{"outputs", id}},
		{name: "prune", args: []string{"prune", "--dry-run"}},
	} {
		s := b.ask(c.interrupt, c.args...)
		if s.code != c.code || !strings.Contains(s.out, c.out) || !strings.Contains(s.err, c.err) {
			t.Errorf("%s: exit code %d, want %d; output %q, want %q; said %q, want %q", c.name, s.code, c.code, s.out, c.out, s.err, c.err)
		}
		if s.took > soon {
			t.Errorf("%s took %s", c.name, s.took)
		}
	}

	// A wish to cancel is taken now and honoured when the machine is there again.
	if s := b.ask(0, "cancel", id); s.code != 0 || s.took > soon {
		t.Errorf("cancel: %+v", s)
	}
	if r := b.show(id); r.State != run.Running || r.CancelRequestedAt == nil {
		t.Errorf("after the cancel: %s", b.cli.Run("show", id, "-o", "json"))
	}
	second := strings.TrimSpace(b.cli.Run("ps", "--limit", "1", "-o", "json"))
	if !strings.Contains(second, `"Preparing"`) && !strings.Contains(second, `"Queued"`) {
		t.Errorf("what was submitted meanwhile: %s", second)
	}
	if s := b.ask(0, "agent", "stop"); s.took > soon {
		t.Errorf("agent stop: %+v", s)
	}
	b.net.Up()
	b.eventually("the canceled run to end", func() bool { r, err := b.look(id); return err == nil && r.State == run.Canceled })
	if starts, err := os.ReadFile(filepath.Join(b.user.Home, "starts")); err != nil || !strings.HasPrefix(string(starts), "start\n") || strings.Count(string(starts), "end") > 1 {
		t.Errorf("the script: %q, %v", starts, err)
	}
	if s := b.ask(0, "wait", "@last"); s.code != 0 {
		t.Errorf("what was submitted meanwhile: %+v", s)
	}
	b.nothingLeft()
}

// cutWhileAttaching: attaching over a line that goes down says so, and leaves nothing that is in the way of another try.
func cutWhileAttaching(t *testing.T) {
	b := newBox(t)
	tool := filepath.Join(b.user.Home, "bin", "micromamba") // which attaching asks for its version
	b.write(tool, []byte("#!/bin/sh\ntouch \"$HOME/asked\"\nexec sleep 5\n"))
	if err := errors.Join(os.Chmod(tool, 0o755), os.Chown(filepath.Join(b.user.Home), b.user.UID, -1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan said, 1)
	attach := func(name string) []string {
		return []string{
			"compute", "attach", "ssh", name, "--address", b.user.Name + "@" + b.server.Address, "--identity", b.user.Key,
			"--host-key", b.server.Fingerprint, "--allow-same-machine",
		}
	}
	go func() { done <- b.ask(0, attach("box")...) }()
	b.eventually("the machine to be asked", func() bool { _, err := os.Stat(filepath.Join(b.user.Home, "asked")); return err == nil })
	b.net.Down()
	s := <-done
	if s.code != 3 || !strings.HasPrefix(s.err, "error: attaching box was cut: ") || !strings.Contains(s.err, b.server.Address) ||
		!strings.Contains(s.err, "\nhint: nothing is attached; when it answers again, give the same command again\n") || strings.Count(s.err, "\n") != 2 {
		t.Errorf("attach: exit code %d, said %q", s.code, s.err)
	}
	b.net.Up()
	if err := os.Remove(tool); err != nil {
		t.Fatal(err)
	}
	b.eventually("another try", func() bool { return b.ask(0, attach("other")...).code == 0 })
	if list := b.cli.Run("compute", "list", "-o", "json"); strings.Count(list, `"name"`) != 2 || !strings.Contains(list, `"other"`) {
		t.Errorf("targets: %s", list)
	}
	b.cli.Run("compute", "detach", "other")
	if left, err := os.ReadDir(filepath.Join(b.user.Home, ".runner")); err == nil {
		t.Error("left on the machine:", left)
	}
}
