package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// The machine is started anew while a run goes on there: that attempt is lost
// with the node, and another one goes on from the checkpoint.
func TestEndSSHReboot(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{})
	b.attach(t)
	script := write(t, filepath.Join(t.TempDir(), "main.sh"), `cd "$RUNNER_CHECKPOINT_DIR"
echo "attempt $RUNNER_ATTEMPT from $(cat step 2>/dev/null)."
[ ! -e step ] || exit 0
echo 7 >step.part && mv step.part step
while :; do sleep 0.1; done
`)
	id := detached(t, b.cli, "--target", "box", script)
	inState(t, b.cli, id, run.Running)
	soon(t, "a checkpoint", func() bool {
		_, err := os.Stat(filepath.Join(b.Account.Home, ".runner", "runs", id, "checkpoint", "step"))
		return err == nil
	})
	b.Server.Reboot(b.Account)
	say(t, b.cli, nil, "wait", id).want(t, 0)

	type attempt struct {
		Outcome       run.Outcome
		Message, Said string
	}
	var got []attempt
	r := show(t, b.cli, id)
	for _, a := range r.Attempts {
		s := say(t, b.cli, nil, "logs", id, "--attempt", fmt.Sprint(a.Number))
		got = append(got, attempt{*a.Outcome, a.Message, s.out})
	}
	want := []attempt{
		{run.OutcomeNodeLost, "the machine was started anew while it ran", "attempt 1 from .\n"},
		{run.OutcomeCompleted, "completed", "attempt 2 from 7.\n"},
	}
	if d := cmp.Diff(want, got); d != "" || *r.Outcome != run.OutcomeCompleted {
		t.Errorf("%v: %s", *r.Outcome, d)
	}
	b.detach(t)
}

// All that goes on at a machine at once goes over one connection.
func TestEndSSHOneConnection(t *testing.T) {
	t.Parallel()
	b := newSSHBox(t, testenv.SSHKind{})
	b.attach(t, "--as", "instance")
	b.cli.Run("agent", "stop")
	before := b.Server.Logins()
	const many = 6
	dir := t.TempDir()
	script := write(t, filepath.Join(dir, "main.sh"), "echo begun; cat >outputs/x </dev/null\nwhile [ ! -e ../../../go ]; do sleep 0.1; done\necho done\n")
	ids, logs := make([]string, many), make(chan said, many)
	for i := range many {
		ids[i] = detached(t, b.cli, "--target", "box", "--set", "resources.cpus=0.1", script)
	}
	for _, id := range ids {
		inState(t, b.cli, id, run.Running)
		go func() { logs <- say(t, b.cli, nil, "logs", "-f", id) }()
	}
	soon(t, "all run at once", func() bool {
		return strings.Contains(b.cli.Run("compute", "show", "box"), fmt.Sprint(many, " running"))
	})
	for _, id := range ids {
		write(t, filepath.Join(b.Account.Home, ".runner", "runs", id, "go"), "")
	}
	for range many {
		if s := <-logs; s.code != 0 || s.out != "begun\ndone\n" {
			t.Errorf("followed: %+v", s)
		}
	}
	b.cli.Run(append([]string{"wait"}, ids...)...)
	if n := b.Server.Logins() - before; n != 1 {
		t.Errorf("%d connections", n)
	}
	b.detach(t)
}

// Tools that are there are used: conda's by their names where they usually lie,
// and uv.
func TestEndSSHToolsAsFound(t *testing.T) {
	t.Parallel()
	index, uv := testenv.PyIndex(t), testenv.UV(t)
	b := newSSHBox(t, testenv.SSHKind{User: testenv.SSHUser{Files: map[string]string{".bashrc": "PATH=~/bin:$PATH\n"}}})
	conda := testenv.Conda(t).For(t, b.Account)
	program := filepath.Join(conda.BinDir, "micromamba")
	give := func(name string, from string) {
		t.Helper()
		name = filepath.Join(b.Account.Home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(read(t, from)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	give("bin/uv", uv)
	dir, made := t.TempDir(), []string(nil)
	for i, c := range []struct{ tool, at, spec string }{
		{"conda", "miniconda3/bin/conda", "conda: {channels: ['" + conda.Channel + "'], dependencies: [python, runner-tool=1.0]}"},
		{"mamba", "miniforge3/bin/mamba", "conda: {channels: ['" + conda.Channel + "'], dependencies: [python, runner-tool=2.0]}"},
		{"uv", "", "pip: [runner-words==1.0, --index-url=" + index.URL + "]"},
	} {
		if c.at != "" {
			give(c.at, program)
		}
		if i == 0 {
			b.attach(t)
		}
		script := write(t, filepath.Join(dir, c.tool, "main.py"), "print('made')\n")
		spec := write(t, filepath.Join(dir, c.tool, "job.yaml"), "script: "+filepath.Base(script)+"\ncompute_target: box\nenvironment: {python: {"+c.spec+"}}\n")
		s := say(t, b.cli, nil, "submit", spec)
		s.want(t, 0)
		made = append(made, c.tool)
		if d := cmp.Diff(made, b.makers(t)); d != "" {
			t.Error("who made the environments:", d)
		}
		if s.out != "made\n" {
			t.Errorf("%s: it said %q", c.tool, s.out)
		}
	}
	wantLines(t, b.cli.Run("compute", "show", "box"), "  conda +conda 2.0.5", "  uv +[0-9.]+ "+filepath.Join(b.Account.Home, "bin/uv"))
	for _, own := range []string{".cache", ".conda", ".local"} { // the tools' own caches
		if err := os.RemoveAll(filepath.Join(b.Account.Home, own)); err != nil {
			t.Fatal(err)
		}
	}
	b.detach(t)
}

// makers are the tools that made the environments there.
func (b *sshBox) makers(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.Account.Home, ".runner", "environments", "*", environment.ReadyFile))
	if err != nil {
		t.Fatal(err)
	}
	var tools []string
	for _, name := range files {
		ready, err := environment.ParseReady([]byte(read(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		tools = append(tools, ready.Tool)
	}
	slices.Sort(tools)
	return tools
}
