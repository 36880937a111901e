package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// A key that a person confirmed at the prompt is remembered, also by an agent
// that came again. Another one is told as changed; ssh's known hosts overrule.
func TestEndSSHConfirmedHostKey(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{})
	known, config := filepath.Join(b.home, "known"), filepath.Join(b.home, ".ssh", "config")
	write(t, config, "Host *\n  UserKnownHostsFile "+known+"\n")
	old := b.Server.Fingerprint
	attach := append([]string{"compute", "attach", "ssh", "box"}, b.flags...)

	const question = "Is it the machine's own? [yes/no] "
	for _, c := range []struct {
		typed string
		code  int
		lines []string
	}{
		{"y", 3, []string{`error: the host key of .* is not known: ssh-ed25519 ` + regexp.QuoteMeta(old), `hint: compare it .* --host-key .*`}},
		{"yes", 0, []string{`  host key +` + regexp.QuoteMeta(old)}},
	} {
		screen, code := b.cli.OnTerminal([]testenv.Answer{{To: question, Typed: c.typed}}, attach...)
		screen = strings.ReplaceAll(screen, "\r\n", "\n")
		if code != c.code {
			t.Fatalf("%q: exit code %d, not %d:\n%s", c.typed, code, c.code, screen)
		}
		wantLines(t, screen, append(c.lines, `The key of \[127\.0\.0\.1\]:[0-9]+ is not known yet:`, `  ssh-ed25519 `+regexp.QuoteMeta(old))...)
	}
	b.cli.Run("agent", "stop")
	dir := t.TempDir()
	script := write(t, filepath.Join(dir, "main.sh"), "echo hello\n")
	if s := say(t, b.cli, nil, "submit", "--target", "box", script); s.code != 0 || s.out != "hello\n" {
		t.Fatalf("with the confirmed key: %+v", s)
	}

	b.Server.Stop()
	if err := b.Server.MakeHostKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Server.Start()
	host, port, _ := strings.Cut(b.Server.Address, ":")
	login := "ssh -p " + port + " " + b.Account.Name + "@" + host
	changed := func(where string) []string {
		return []string{
			`error: the key of \[127\.0\.0\.1\]:[0-9]+ HAS CHANGED: it shows ssh-ed25519 ` + regexp.QuoteMeta(b.Server.Fingerprint) +
				`, known is ` + regexp.QuoteMeta(old) + ` \(` + where + `\); somebody may be listening, .*`,
			`hint: when the machine was made anew, compare this fingerprint with the one that its owner tells, and confirm it by logging in once with ` + login,
		}
	}
	say(t, b.cli, nil, "compute", "check", "box").want(t, 3, changed("seen .*before")...)
	b.cli.Run("agent", "stop")
	say(t, b.cli, nil, "compute", "check", "box").want(t, 3, changed("seen before")...)
	id := detached(t, b.cli, "--target", "box", script)
	soon(t, "the run says that the key has changed", func() bool { return strings.Contains(b.cli.Run("show", id), "HAS CHANGED") })

	// What the hint says, by a person who says yes.
	ssh := exec.CommandContext(t.Context(), "ssh", append(strings.Fields(login)[1:], "-F", config, "-o", "StrictHostKeyChecking=accept-new", "-i", b.Account.Key, "true")...)
	if out, err := ssh.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", login, err, out)
	}
	wantLines(t, b.cli.Run("compute", "check", "box"), `.*host key: `+regexp.QuoteMeta(old)+` -> `+regexp.QuoteMeta(b.Server.Fingerprint))
	inState(t, b.cli, id, run.Completed)
	b.detach(t)
}
