package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// words checks all that a command said to standard error, word by word.
func (s said) words(t *testing.T, code int, want ...string) {
	t.Helper()
	if text := strings.Join(want, "\n") + "\n"; s.err != text || s.code != code || s.out != "" {
		t.Errorf("exit code %d, not %d; it said\n%s%snot\n%s", s.code, code, s.out, s.err, text)
	}
}

// A password, or a key's passphrase, that is found nowhere: nobody can be asked
// for it, and no variable, file, store or agent has it.
func TestEndSSHSecretIsNotFound(t *testing.T) {
	t.Parallel()
	password := newSSHBox(t, testenv.SSHKind{Server: testenv.SSHOptions{KeyboardInteractive: true}, User: testenv.SSHUser{Password: "open sesame"}, Login: testenv.LoginPassword})
	locked := newSSHBox(t, testenv.SSHKind{User: testenv.SSHUser{Passphrase: "swordfish"}, Login: testenv.LoginPassphrase})
	jump := newSSHBox(t, testenv.SSHKind{Login: testenv.LoginJump})
	agent := newSSHBox(t, testenv.SSHKind{Login: testenv.LoginAgent})
	dir := t.TempDir()
	key := filepath.Join(locked.home, ".ssh", "id_ed25519")
	write(t, key, read(t, locked.Account.Key)) // as ssh finds it by itself
	empty, open := write(t, filepath.Join(dir, "empty"), ""), write(t, filepath.Join(dir, "open"), "word")
	for name, mode := range map[string]os.FileMode{key: 0o600, empty: 0o600, open: 0o640} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []*sshBox{password, locked, jump, agent} { // with an environment that names no agent
		say(t, b.cli, []string{"SSH_AUTH_SOCK="}, "agent", "start").want(t, 0)
	}
	door := regexp.MustCompile(`Host door\n  HostName (.*)\n  Port (.*)\n  User (.*)\n`).FindStringSubmatch(read(t, jump.Config))
	gone := filepath.Join(dir, "gone")
	const (
		how          = " env:NAME, file:PATH or secret:NAME; on a terminal you are asked"
		passwordHint = "hint: give a key with --identity, or the password with --password" + how
		keyHint      = "hint: give its passphrase with --passphrase" + how
		notStored    = "error: log in: no secret is stored under the name NOWHERE"
		storeHint    = "hint: store it: runner secret set NOWHERE"
	)
	for _, c := range []struct {
		name  string
		box   *sshBox
		flags []string
		agent string // its socket; empty: none
		code  int
		want  []string
	}{
		{"password", password, nil, "", 3, []string{
			"error: {ADDRESS} does not let {USER} in (there was no key, agent or password to try: give an identity file or a password): it takes a password, and none was given",
			passwordHint,
		}},
		{"password, agent has another key", password, nil, agent.AgentSocket, 3, []string{
			"error: {ADDRESS} does not let {USER} in (tried agent key ({SHA256})): it takes a password, and none was given",
			passwordHint,
		}},
		{"password, agent is gone", password, nil, gone, 3, []string{
			"error: {ADDRESS} does not let {USER} in (tried agent (not there: dial unix {DIR}/gone: connect: no such file or directory)): it takes a password, and none was given",
			passwordHint,
		}},
		{"password of a variable", password, []string{"--password", "env:NOWHERE"}, "", 2, []string{
			"error: --password: the variable NOWHERE is not set: runner compute attach ssh",
		}},
		{"password of a file", password, []string{"--password", "file:" + gone}, "", 3, []string{
			"error: log in: the file of a secret cannot be read: {DIR}/gone: no such file or directory",
			"hint: write the secret there, in a file of mode 0600 that belongs to whoever runs the agent",
		}},
		{"password of an empty file", password, []string{"--password", "file:" + empty}, "", 3, []string{
			"error: log in: the file of a secret is empty: {DIR}/empty",
			"hint: write the secret into it",
		}},
		{"password of a file that others may read", password, []string{"--password", "file:" + open}, "", 3, []string{
			"error: log in: others may read the secret in {DIR}/open (mode 0640)",
			"hint: chmod 600 {DIR}/open",
		}},
		{"password of a directory", password, []string{"--password", "file:" + dir}, "", 3, []string{
			"error: log in: this is no file with a secret: {DIR}",
		}},
		{"stored password", password, []string{"--password", "secret:NOWHERE"}, "", 3, []string{
			notStored,
			storeHint,
		}},
		{"password to be asked for", password, []string{"--password"}, "", 2, []string{
			"error: --password: there is no terminal to ask for it on: runner compute attach ssh",
			"hint: give --password=env:NAME, file:PATH or secret:NAME",
		}},
		{"passphrase", locked, []string{"--identity", locked.Account.Key}, "", 3, []string{
			"error: private key {KEY}: it is encrypted and no passphrase was given",
			keyHint,
		}},
		{"passphrase of the usual key", locked, nil, "", 3, []string{
			"error: {ADDRESS} does not let {USER} in (tried key {HOME}/.ssh/id_ed25519 (not used: it is encrypted and no passphrase was given)): it takes a password, and none was given",
			keyHint,
		}},
		{"passphrase, agent has another key", locked, []string{"--identity", locked.Account.Key}, agent.AgentSocket, 3, []string{
			"error: private key {KEY}: it is encrypted and no passphrase was given",
			keyHint,
		}},
		{"passphrase of a variable", locked, []string{"--passphrase", "env:NOWHERE"}, "", 2, []string{
			"error: --passphrase: the variable NOWHERE is not set: runner compute attach ssh",
		}},
		{"passphrase of a file", locked, []string{"--identity", locked.Account.Key, "--passphrase", "file:" + gone}, "", 3, []string{
			"error: log in: the file of a secret cannot be read: {DIR}/gone: no such file or directory",
			"hint: write the secret there, in a file of mode 0600 that belongs to whoever runs the agent",
		}},
		{"stored passphrase", locked, []string{"--identity", locked.Account.Key, "--passphrase", "secret:NOWHERE"}, "", 3, []string{
			notStored,
			storeHint,
		}},
		{"jump host's password", jump, []string{"--identity", jump.Account.Key}, "", 3, []string{
			"error: {DOOR} does not let {JUMPER} in (there was no key, agent or password to try: give an identity file or a password): it takes a password, and none was given",
			"hint: give the jump host's password with --jump-password" + how,
		}},
		{"jump host's stored password", jump, []string{"--identity", jump.Account.Key, "--jump-password", "secret:NOWHERE"}, "", 3, []string{
			notStored,
			storeHint,
		}},
		{"key of an agent that is gone", agent, nil, gone, 3, []string{
			"error: {ADDRESS} does not let {USER} in (tried agent (not there: dial unix {DIR}/gone: connect: no such file or directory)): it takes a password, and none was given",
			passwordHint,
		}},
		{"key of an agent that nobody names", agent, nil, "", 3, []string{
			"error: {ADDRESS} does not let {USER} in (there was no key, agent or password to try: give an identity file or a password): it takes a password, and none was given",
			passwordHint,
		}},
		{"public key whose private half the agent has not", agent, []string{"--identity", password.Account.Key + ".pub"}, agent.AgentSocket, 3, []string{
			"error: private key {PASSWORDKEY}.pub: it is a public key and the agent does not have the private one",
			"hint: give the agent the private one (ssh-add), or name its file with --identity",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"compute", "attach", "ssh", "box", "--address", c.box.Account.Name + "@" + c.box.Server.Address, "--allow-same-machine"}, c.flags...)
			s := say(t, c.box.cli, []string{"SSH_AUTH_SOCK=" + c.agent}, args...)
			s.err = fingerprint.ReplaceAllString(s.err, "{SHA256}")
			want := strings.NewReplacer("{ADDRESS}", c.box.Server.Address, "{USER}", c.box.Account.Name, "{KEY}", c.box.Account.Key, "{HOME}", c.box.home,
				"{DIR}", dir, "{DOOR}", door[1]+":"+door[2], "{JUMPER}", door[3], "{PASSWORDKEY}", password.Account.Key).Replace(strings.Join(c.want, "\n"))
			s.words(t, c.code, want)
			if left, err := os.ReadDir(filepath.Join(c.box.Account.Home, ".runner")); err == nil {
				t.Error("left on the machine:", left)
			}
		})
	}
}

// A secret that was there when the machine was attached and is no more: the
// words are the same, runs are taken and wait, and go on once it is back.
func TestEndSSHSecretIsLost(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{User: testenv.SSHUser{Password: "open sesame"}, Login: testenv.LoginPassword})
	file := filepath.Join(b.home, "word")
	put := func() {
		write(t, file, "open sesame\n")
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put()
	b.flags[slices.Index(b.flags, "--password")+1] = "file:" + file
	b.attach(t)
	b.cli.Run("agent", "stop") // who is logged in needs no password
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	const problem = "log in: the file of a secret cannot be read: "
	script := write(t, filepath.Join(t.TempDir(), "main.sh"), "echo here\n")
	id := detached(t, b.cli, "--target", "box", script)
	say(t, b.cli, nil, "compute", "check", "box").words(t, 3, "error: "+problem+file+": no such file or directory",
		"hint: write the secret there, in a file of mode 0600 that belongs to whoever runs the agent")
	soon(t, "the run says what it waits for", func() bool { return strings.Contains(show(t, b.cli, id).Message, problem+file) })
	put()
	inState(t, b.cli, id, run.Completed)
	b.detach(t)
}
