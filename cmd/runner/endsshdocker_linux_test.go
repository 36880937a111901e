package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// Docker on the machine, by the socket of its engine over the connection: an
// image that is built there, and one that is pulled there with a login.
func TestEndSSHDocker(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	registry := testenv.Registry(t, true)
	image := registry.Push(engine.Small, "team/small:1")
	b := newSSHBox(t, testenv.SSHKind{})
	socket := engine.For(t, b.Account)
	b.before = b.elsewhere(t)
	b.attach(t)
	wantLines(t, b.cli.Run("compute", "show", "box"), `  Docker +[0-9].* `+socket)

	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), "FROM "+engine.Small+"\nCOPY word /word\nRUN echo made >>/word\n")
	if err := os.Chmod(write(t, filepath.Join(dir, "word"), "sent "+oddWord()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "main.sh"), "cat /word\necho model >outputs/model\n")
	spec := write(t, filepath.Join(dir, "job.yaml"), "script: main.sh\ncompute_target: box\nenvironment: {docker: {dockerfile: Dockerfile}}\n")
	s := say(t, b.cli, nil, "submit", spec)
	s.want(t, 0)
	if want := read(t, filepath.Join(dir, "word")) + "made\n"; s.out != want {
		t.Errorf("it said %q, not %q", s.out, want)
	}
	b.cli.Run("outputs", "@last", "--to", dir)
	if got := read(t, filepath.Join(dir, "outputs", "model")); got != "model\n" {
		t.Errorf("output %q", got)
	}

	secret := oddWord()
	b.cli.Env = append(b.cli.Env, "REGISTRY_PASSWORD="+registry.Password, "TOKEN="+secret)
	wait := write(t, filepath.Join(dir, "wait", "main.sh"), "echo \"${#TOKEN}\"\nwhile [ ! -e go ]; do sleep 0.1; done\n")
	id := detached(t, b.cli, "--target", "box", "--set", "secrets=[TOKEN]",
		"--set", `environment={docker: {image: "`+image+`", registry: {address: "`+registry.Addr+`", username: `+registry.User+`, password: {env: REGISTRY_PASSWORD}}}}`, wait)
	soon(t, "the script has begun", func() bool { return say(t, b.cli, nil, "logs", id).out != "" })
	look := func(when string) {
		t.Helper()
		for name, words := range map[string][][]byte{"password": {[]byte(registry.Password)}, "secret": spellings(secret)} {
			var there []string
			for _, at := range b.holders(t, id, words) {
				if !strings.HasSuffix(at, "/environ") { // the script's own, and that of who submitted it
					there = append(there, at)
				}
			}
			if d := cmp.Diff([]string(nil), there); d != "" {
				t.Errorf("the %s, %s: %s", name, when, d)
			}
		}
	}
	look("while it runs")
	name := container.Mark{Run: id, Attempt: 1}.Name()
	told, err := engine.Command(t.Context(), "inspect", name).CombinedOutput()
	if err != nil || !bytes.Contains(told, []byte(id)) || slices.ContainsFunc(append(spellings(secret), []byte(registry.Password)), func(word []byte) bool { return bytes.Contains(told, word) }) {
		t.Errorf("the engine tells: %v: %s", err, told)
	}
	write(t, filepath.Join(b.Account.Home, ".runner", "runs", id, "attempts", "1", "work", "go"), "")
	inState(t, b.cli, id, run.Completed)
	look("after it")
	b.detach(t)
}

// A server that forwards nothing: attaching says that Docker cannot be used
// there, and why; all else works.
func TestEndSSHNoForwarding(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{Server: testenv.SSHOptions{NoForwarding: true}})
	socket := testenv.Docker(t).For(t, b.Account)
	b.before = b.elsewhere(t)
	why := socket + ": an engine listens there, and the machine's sshd allows no forwarding to it"
	attached := say(t, b.cli, nil, append([]string{"compute", "attach", "ssh", "box"}, b.flags...)...)
	attached.want(t, 0)
	wantLines(t, attached.out, `  Docker +none: find Docker engine: `+why, `.*no container engine answers: find Docker engine: `+why)
	dir := t.TempDir()
	script := write(t, filepath.Join(dir, "main.sh"), "echo hello\n")
	say(t, b.cli, nil, "submit", "--target", "box", "--set", "environment={docker: {image: any/image:1}}", script).want(t, 4,
		`.* failed after .*: the environment could not be made: find Docker engine: `+why,
		`hint: have AllowStreamLocalForwarding yes in the machine's sshd_config .*; an environment without docker needs none`)
	if s := say(t, b.cli, nil, "submit", "--target", "box", script); s.code != 0 || s.out != "hello\n" {
		t.Errorf("without docker: %+v", s)
	}
	b.detach(t)
}
