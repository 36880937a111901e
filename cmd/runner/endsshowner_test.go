package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// Two installations and one machine: whoever takes it over has it, the other one
// is told, and what the other one runs there goes on. Detaching leaves nothing
// of ours, also not of a large source.
func TestEndSSHTakeOver(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{})
	first := b.cli
	second := testenv.Runner(t, "HOME="+b.home, "SSH_AUTH_SOCK=")
	b.attach(t)
	src := t.TempDir()
	const enough = 600 // for its working copies to be kept
	for i := range enough {
		write(t, filepath.Join(src, fmt.Sprintf("d%d/f%d", i%9, i)), fmt.Sprint(i))
	}
	goFile := filepath.Join(b.Account.Home, "go")
	write(t, filepath.Join(src, "wait.py"), "import os, time\nwhile not os.path.exists('"+goFile+"'): time.sleep(0.05)\nprint('done')\n")
	write(t, filepath.Join(src, "train.py"), "print('done')\n")
	submit := func(c *testenv.CLI, target, script string) string {
		t.Helper()
		return strings.TrimSpace(c.Run("submit", "--detach", "--target", target, filepath.Join(src, script)))
	}
	running := submit(first, "box", "wait.py")
	inState(t, first, running, run.Running)

	attach := append([]string{"compute", "attach", "ssh", "mine"}, b.flags...)
	say(t, second, nil, attach...).want(t, 2, `error: the machine is attached as "box" by .*`, "hint: if it is yours to take: .*--take-over")
	// What comes of nothing gives it back.
	say(t, second, nil, append(attach, "--take-over", "--install-micromamba=http://127.0.0.1:1/x", "--micromamba-sha256", strings.Repeat("0", 64))...).
		want(t, 2, "error: install micromamba from .*")
	wantLines(t, first.Run("compute", "check", "box"), "in order")
	second.Run(append(attach, "--take-over")...)

	// The connection of the first one is older than that.
	refused := submit(first, "box", "train.py")
	soon(t, "the first one to be told", func() bool {
		r := show(t, first, refused)
		return !r.State.Ended() && strings.Contains(r.Message, `the machine is attached as "mine" by `)
	})
	if r := show(t, first, running); r.State != run.Running {
		t.Errorf("what ran there: %s %s", r.State, r.Message)
	}
	say(t, second, nil, "compute", "detach", "mine").want(t, 2,
		"error: runs of another installation go on on mine: 1, the first is "+running, "hint: wait for them, or end them with --force")
	write(t, goFile, "")
	say(t, first, nil, "wait", running).want(t, 0)
	if log := first.Run("logs", running); log != "done\n" {
		t.Errorf("its log is %q", log)
	}
	if err := os.Remove(goFile); err != nil {
		t.Fatal(err)
	}
	say(t, second, nil, "submit", "--target", "mine", filepath.Join(src, "train.py")).want(t, 0)

	first.Run("compute", "detach", "box", "--force", "--forget")
	second.Run("compute", "detach", "mine")
	if left, err := os.ReadDir(filepath.Join(b.Account.Home, ".runner")); err == nil {
		t.Error("left on the machine:", left)
	}
}
