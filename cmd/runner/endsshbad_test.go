package main

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/testenv"
)

// What goes wrong when attaching, each with its own words: what is said is
// given whole.
func TestEndSSHBadInput(t *testing.T) {
	t.Parallel()
	server := testenv.SSHD(t, testenv.SSHOptions{})
	good := server.User(testenv.SSHUser{Password: "open sesame"})
	locked := server.User(testenv.SSHUser{Passphrase: "swordfish"})
	readOnly := server.User(testenv.SSHUser{ReadOnly: true})
	full := server.User(testenv.SSHUser{OtherDisk: 8 << 20})
	home := t.TempDir()
	c := testenv.Runner(t, "HOME="+home, "SSH_AUTH_SOCK=", "WRONG=let me in")
	write(t, filepath.Join(home, ".ssh", "known_hosts"), read(t, server.KnownHosts))
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	page := web.Listener.Addr().String()

	open := write(t, filepath.Join(home, "open"), read(t, good.Key))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(server.Address, ":")
	changed := write(t, filepath.Join(home, "changed"), "[127.0.0.1]:"+port+" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n")
	empty := write(t, filepath.Join(home, "empty"), "")
	agent := filepath.Join(home, "agent")
	ssh := exec.Command("ssh-agent", "-D", "-a", agent)
	if err := ssh.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ssh.Process.Kill(); _ = ssh.Wait() })
	soon(t, "the ssh-agent is there", func() bool { _, err := os.Stat(agent); return err == nil })
	c.Run(append([]string{"compute", "attach", "ssh", "used", "--address", good.Name + "@" + server.Address, "--identity", good.Key}, "--allow-same-machine")...)

	at := func(a testenv.SSHAccount) string { return a.Name + "@" + server.Address }
	for _, b := range []struct {
		name string
		args []string
		env  []string
		code int
		want []string
	}{
		{"wrong password", []string{"x", "--address", at(good), "--password", "env:WRONG"}, nil, 3, []string{
			"error: {ADDRESS} does not let {GOOD} in (tried password)",
			"hint: try ssh -p {PORT} {GOOD}@127.0.0.1 yourself; give a key with --identity, or a password with --password",
		}},
		{"no password", []string{"x", "--address", at(good)}, nil, 3, []string{
			"error: {ADDRESS} does not let {GOOD} in (there was no key, agent or password to try: give an identity file or a password): it takes a password, and none was given",
			"hint: give a key with --identity, or the password with --password env:NAME, file:PATH or secret:NAME; on a terminal you are asked",
		}},
		{"key not accepted", []string{"x", "--address", at(good), "--identity", readOnly.Key}, nil, 3, []string{
			"error: {ADDRESS} does not let {GOOD} in (tried key {READONLY} ({SHA256})): it takes a password, and none was given",
			"hint: give a key with --identity, or the password with --password env:NAME, file:PATH or secret:NAME; on a terminal you are asked",
		}},
		{"agent without keys", []string{"x", "--address", at(good)}, []string{"SSH_AUTH_SOCK=" + agent}, 3, []string{
			"error: {ADDRESS} does not let {GOOD} in (tried agent (it has no keys)): it takes a password, and none was given",
			"hint: give a key with --identity, or the password with --password env:NAME, file:PATH or secret:NAME; on a terminal you are asked",
		}},
		{"no passphrase", []string{"x", "--address", at(locked), "--identity", locked.Key}, nil, 3, []string{
			"error: private key {LOCKED}: it is encrypted and no passphrase was given",
			"hint: give its passphrase with --passphrase env:NAME, file:PATH or secret:NAME; on a terminal you are asked",
		}},
		{"wrong passphrase", []string{"x", "--address", at(locked), "--identity", locked.Key, "--passphrase", "env:WRONG"}, nil, 3, []string{
			"error: private key {LOCKED}: the passphrase does not open it",
			"hint: give its passphrase with --passphrase env:NAME, file:PATH or secret:NAME",
		}},
		{"key with wrong mode", []string{"x", "--address", at(good), "--identity", open}, nil, 3, []string{
			"error: private key {HOME}/open: its permissions are too open, others can read it (mode 0644)",
			"hint: chmod 600 {HOME}/open",
		}},
		{"no such key", []string{"x", "--address", at(good), "--identity", "/nowhere/key"}, nil, 2, []string{
			"error: --identity: stat /nowhere/key: no such file or directory: runner compute attach ssh",
		}},
		{"unknown host", []string{"x", "--address", at(good), "--identity", good.Key, "--known-hosts", empty}, nil, 3, []string{
			"error: the host key of [127.0.0.1]:{PORT} is not known: ssh-ed25519 {FINGERPRINT}",
			"hint: compare it with the one that the machine's owner tells, then give --host-key {FINGERPRINT}",
		}},
		{"changed host key", []string{"x", "--address", at(good), "--identity", good.Key, "--known-hosts", changed}, nil, 3, []string{
			"error: the key of [127.0.0.1]:{PORT} HAS CHANGED: it shows ssh-ed25519 {FINGERPRINT}, known is {SHA256} ({HOME}/changed:1); somebody may be listening, or the machine was made anew: ask its owner, then remove the old key",
			"hint: when the machine was made anew, take the old key out of the file named above, or attach it again with --host-key {FINGERPRINT}",
		}},
		{"address that does not resolve", []string{"x", "--address", "me@no-such-host.invalid"}, nil, 3, []string{
			"error: no-such-host.invalid:22 cannot be reached: there is no host of this name: it is no name of the ssh configuration, and no name server knows it",
			"hint: check the address, that the machine is up, and its firewall",
		}},
		{"alias that is not there", []string{"gpubxo"}, nil, 3, []string{
			"error: gpubxo:22 cannot be reached: there is no host of this name: it is no name of the ssh configuration, and no name server knows it",
			"hint: check the address, that the machine is up, and its firewall",
		}},
		{"refused port", []string{"x", "--address", "me@127.0.0.1:1"}, nil, 3, []string{
			"error: 127.0.0.1:1 cannot be reached: connection refused: nothing listens there",
			"hint: check the address, that the machine is up, and its firewall",
		}},
		{"not an SSH server", []string{"x", "--address", "me@" + page}, nil, 3, []string{
			"error: " + page + ` cannot be reached: what listens there is no SSH server; it says "HTTP/1.1 400 Bad Request"`,
			"hint: check the address, that the machine is up, and its firewall",
		}},
		{"not an address", []string{"x", "--address", "me@"}, nil, 3, []string{
			`error: address "me@": not an address of the form [USER@]HOST[:PORT]`,
		}},
		{"home not writable", []string{"x", "--address", at(readOnly), "--identity", readOnly.Key, "--allow-same-machine"}, nil, 3, []string{
			"error: nothing can be kept in ~/.runner on the machine: we may not write there",
			"hint: name another directory with --remote-dir",
		}},
		{"no disk space there", []string{"x", "--address", at(full), "--identity", full.Key, "--allow-same-machine"}, nil, 3, []string{
			"error: nothing can be kept in {FULL}/.runner on the machine: only 8 MiB are free on its disk",
			"hint: name another directory with --remote-dir",
		}},
		{"name that is taken", []string{"used", "--address", "elsewhere"}, nil, 2, []string{
			`error: a compute target named "used" is attached already`,
		}},
		{"machine that is attached", []string{"x", "--address", good.Name + "@localhost:" + port, "--identity", good.Key, "--host-key", server.Fingerprint}, nil, 2, []string{
			`error: this machine is attached already, as "used"`,
			"hint: use that name, or detach it first: runner compute detach used",
		}},
	} {
		t.Run(b.name, func(t *testing.T) {
			s := say(t, c, b.env, append([]string{"compute", "attach", "ssh"}, b.args...)...)
			want := strings.NewReplacer("{ADDRESS}", server.Address, "{PORT}", port, "{GOOD}", good.Name, "{HOME}", home, "{FINGERPRINT}", server.Fingerprint,
				"{READONLY}", readOnly.Key, "{LOCKED}", locked.Key, "{FULL}", full.Home).Replace(strings.Join(b.want, "\n") + "\n")
			got := s.err
			if strings.Contains(want, "{SHA256}") {
				got = fingerprint.ReplaceAllStringFunc(got, func(f string) string {
					if f == server.Fingerprint {
						return f
					}
					return "{SHA256}"
				})
			}
			if got != want || s.code != b.code || s.out != "" {
				t.Errorf("exit code %d, not %d; it said\n%snot\n%s", s.code, b.code, got, want)
			}
		})
	}
	for _, a := range []testenv.SSHAccount{full, readOnly, locked} {
		if left, err := os.ReadDir(filepath.Join(a.Home, ".runner")); err == nil {
			t.Errorf("left at %s: %v", a.Name, left)
		}
	}
}

var fingerprint = regexp.MustCompile(`SHA256:[A-Za-z0-9+/]{43}`)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A machine of another platform needs a program that is for it; all that can be
// wrong with that is said, and nothing stays there.
func TestEndSSHAnotherPlatform(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{User: testenv.SSHUser{Files: map[string]string{
		".bashrc": "PATH=$HOME/bin:$PATH\n", "bin/uname": "#!/bin/sh\ncase $1 in -snm) echo Linux gpubox ppc64le;; *) exec /bin/uname \"$@\";; esac\n",
	}}})
	if err := os.Chmod(filepath.Join(b.Account.Home, "bin", "uname"), 0o755); err != nil {
		t.Fatal(err)
	}
	own := "linux/" + runtime.GOARCH
	dir := filepath.Dir(b.cli.Bin)
	// Of the same build, for another platform than its name says.
	wrong := read(t, b.cli.Bin)
	build := strings.Fields(b.cli.Run("version"))[1]
	how := "hint: in the source of " + regexp.QuoteMeta(build) + ".*, make cross CROSS=linux/ppc64le makes bin/runner-linux-ppc64le; put it "
	for _, c := range []struct {
		name string
		// file that is there, and config.yaml
		file, content, config string
		lines                 []string
	}{
		{"none", "", "", "", []string{
			"error: the machine is linux/ppc64le, this runner is for " + own + ", and there is no runner for linux/ppc64le .looked for " + dir + "/runner-linux-ppc64le, " + b.cli.Home + "/bin/runner-linux-ppc64le.",
			how + "into " + dir + " or " + b.cli.Home + "/bin, or name it in config.yaml: programs: {linux/ppc64le: PATH}",
		}},
		{"one for another platform", filepath.Join(b.cli.Home, "bin", "runner-linux-ppc64le"), wrong, "", []string{
			"error: " + b.cli.Home + "/bin/runner-linux-ppc64le cannot be used as the runner for linux/ppc64le: it was built for " + own, how + "there in its place",
		}},
		{"something else", filepath.Join(dir, "runner-linux-ppc64le"), "#!/bin/sh\n", "", []string{
			"error: " + dir + "/runner-linux-ppc64le cannot be used as the runner for linux/ppc64le: it is not a runner", how + "there in its place",
		}},
		{"named and not there", "", "", "programs: {linux/ppc64le: /nowhere/runner}\n", []string{
			"error: /nowhere/runner cannot be used as the runner for linux/ppc64le: it is not there, and programs in config.yaml names it", how + "there in its place",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				write(t, c.file, c.content)
			}
			if c.config != "" {
				write(t, filepath.Join(b.cli.Home, "config.yaml"), c.config)
				b.cli.Run("agent", "stop") // it reads it when it starts
			}
			s := say(t, b.cli, nil, append([]string{"compute", "attach", "ssh", "box"}, b.flags...)...)
			s.want(t, 3, c.lines...)
			if left, err := os.ReadDir(filepath.Join(b.Account.Home, ".runner")); err == nil {
				t.Error("left on the machine:", left)
			}
		})
	}
}

var (
	endForm    = regexp.MustCompile(`(?m)^(\S+) (failed|completed) after \S+:`)
	digestForm = regexp.MustCompile(`[0-9a-f]{64}`)
)

// closing are the last words of a submit: how the run ended, and the hint. What
// is another each time has a word in its place.
func (s said) closing() []string {
	at := endForm.FindStringSubmatchIndex(s.err)
	if at == nil {
		return []string{s.err}
	}
	id := s.err[at[2]:at[3]]
	text := endForm.ReplaceAllString(s.err[at[0]:], "$1 $2 after TIME:")
	text = digestForm.ReplaceAllString(strings.ReplaceAll(text, id, "ID"), "DIGEST")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// A machine without Python takes what needs none, and says what is missing.
func TestEndSSHNoPython(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{Server: testenv.SSHOptions{NoPython: true}})
	b.attach(t)
	wantLines(t, b.cli.Run("compute", "show", "box"), "  Python +none")
	dir := t.TempDir()
	for _, c := range []struct {
		name, script, spec string
		code               int
		lines              []string
	}{
		{"shell script", "a.sh", "", 0, nil},
		{"Python script", "a.py", "", 4, []string{
			"ID failed after TIME: the environment could not be made: python3: no such program in PATH (/usr/local/bin:/usr/bin:/bin:/usr/games)",
			"hint: install Python 3 on the machine, or name the interpreter there: environment.python.interpreter_path; see what the tools said: runner logs ID",
		}},
		{"venv", "a.py", "environment: {python: {pip: [runner-words]}}\n", 4, []string{
			"ID failed after TIME: the environment could not be made: no python3 found",
			"hint: install Python 3, or uv (which fetches one), on the machine; see what the tools said: runner logs ID",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, filepath.Join(dir, c.script), "echo 1\n")
			spec := write(t, filepath.Join(dir, "job.yaml"), "script: "+c.script+"\ncompute_target: box\n"+c.spec)
			s := say(t, b.cli, nil, "submit", spec)
			s.want(t, c.code)
			if d := cmp.Diff(c.lines, s.closing()); c.lines != nil && d != "" {
				t.Error(d)
			}
		})
	}
	b.detach(t)
}

// A disk there that fills up: at the upload, and while a script writes.
func TestEndSSHFullDisk(t *testing.T) {
	t.Parallel()
	const room = 96 << 20
	b := newSSHBox(t, testenv.SSHKind{User: testenv.SSHUser{OtherDisk: room}})
	b.attach(t)
	big := t.TempDir()
	write(t, filepath.Join(big, "main.py"), "print('never')\n")
	noise := make([]byte, room)
	rand.NewChaCha8([32]byte{}).Read(noise)
	write(t, filepath.Join(big, "data.bin"), string(noise))
	small := t.TempDir()
	write(t, filepath.Join(small, "main.py"), "f = open('outputs/x', 'wb')\nwhile True:\n    f.write(b'x' * 1000000); f.flush()\n")
	write(t, filepath.Join(small, "fine.py"), "print('fine')\n")
	for _, c := range []struct {
		name, script string
		code         int
		lines        []string
	}{
		{"upload", filepath.Join(big, "main.py"), 4, []string{
			"ID failed after TIME: the environment could not be made: send the source: import snapshot: write part: write " +
				b.Account.Home + "/.runner/objects/parts/DIGEST: no space left on device",
			"hint: the disk is full: runner prune frees what nothing needs any more",
		}},
		{"script", filepath.Join(small, "main.py"), 1, []string{
			"ID failed after TIME: the script failed: exit code 1, outputs in " + b.cli.Home + "/runs/ID/attempts/1/outputs",
		}},
		{"afterwards", filepath.Join(small, "fine.py"), 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := say(t, b.cli, nil, "submit", "--target", "box", c.script)
			s.want(t, c.code)
			if d := cmp.Diff(c.lines, s.closing()); c.lines != nil && d != "" {
				t.Error(d)
			}
		})
	}
	b.detach(t)
}
