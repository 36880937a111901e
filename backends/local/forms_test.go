package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// inBothForms runs a test for a process and for a container.
func inBothForms(t *testing.T, test func(c *computer, env *environment.Resolved)) {
	t.Helper()
	t.Run("process", func(t *testing.T) {
		c := newComputer(t, "")
		test(c, nil)
	})
	t.Run("container", func(t *testing.T) {
		c, _, _, env := inDocker(t)
		test(c, env)
	})
}

// again is another run of this computer's, of its own files.
func (c *computer) again(name string, env *environment.Resolved, files map[string]string) backends.Attempt {
	c.Helper()
	a := c.attempt(env, "true", nil)
	a.Run += "-" + name
	dir := c.TempDir()
	for name, content := range files {
		name, executable := strings.CutSuffix(name, "*")
		mode := os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			c.Fatal(err)
		}
	}
	digest := backendtest.Root(c.home).Snapshot(c, dir)
	a.Snapshot, a.Config.SourceDirectory = digest, dir
	return a
}

// finished carries an attempt out, brings it home and releases it.
func (c *computer) finished(a backends.Attempt) (backends.Observation, map[string]string) {
	c.Helper()
	ref := c.begin(a)
	o := c.ended(ref)
	files := c.collect(ref)
	if err := c.Release(c.Context(), ref); err != nil {
		c.Fatal(err)
	}
	return o, files
}

func TestDistributed(t *testing.T) {
	inBothForms(t, func(c *computer, env *environment.Resolved) {
		distributed := func(framework string, n int, name, command string) backends.Attempt {
			a := c.again(name, env, nil)
			a.Config.Command = command
			a.Config.Distributed = &runconfig.Distributed{Framework: framework, ProcessesPerNode: n}
			return a
		}
		o, files := c.finished(distributed("pytorch", 3, "three", `echo "$RANK/$LOCAL_RANK/$WORLD_SIZE/$LOCAL_WORLD_SIZE/$NODE_RANK $MASTER_ADDR"; echo "$MASTER_PORT" >outputs/$RANK`))
		if o.Outcome != run.OutcomeCompleted {
			c.Errorf("three: %+v", o)
		}
		log := files["logs/std_log.txt"]
		for _, want := range []string{"[rank 0] 0/0/3/3/0 127.0.0.1\n", "[rank 1] 1/1/3/3/0 127.0.0.1\n", "[rank 2] 2/2/3/3/0 127.0.0.1\n"} {
			if strings.Count(log, want) != 1 {
				c.Errorf("no %q in %q", want, log)
			}
		}
		if port := files["outputs/0"]; port == "" || port != files["outputs/1"] || port != files["outputs/2"] {
			c.Errorf("ports %q", files)
		}
		o, files = c.finished(distributed("tensorflow", 1, "one", `echo "$RANK of $WORLD_SIZE $TF_CONFIG"`))
		if log := files["logs/std_log.txt"]; o.Outcome != run.OutcomeCompleted || !strings.HasPrefix(log, `0 of 1 {"cluster":{"worker":["127.0.0.1:`) {
			c.Errorf("one: %+v, %q", o, log)
		}
		o, files = c.finished(distributed("pytorch", 2, "fails", `[ $RANK = 1 ] && exit 7; sleep 300`))
		if log := files["logs/std_log.txt"]; o.Outcome != run.OutcomeScriptFailed || *o.ExitCode != 7 ||
			!strings.HasSuffix(log, "runner: rank 1 ended with exit code 7; the other one was ended\n") {
			c.Errorf("fails: %+v, %q", o, log)
		}
		o, _ = c.finished(distributed("pytorch", 2, "signal", `[ $RANK = 1 ] && kill -SEGV $$; sleep 300`))
		if o.Outcome != run.OutcomeScriptFailed || *o.ExitCode != 139 || o.Signal != "SIGSEGV" {
			c.Errorf("signal: %+v", o)
		}
		a := distributed("pytorch", 2, "time", `trap '' TERM; while :; do sleep 0.1; done`)
		a.Config.MaxRunDuration, a.Config.Grace = runconfig.Duration(300*time.Millisecond), runconfig.Duration(100*time.Millisecond)
		if o, _ = c.finished(a); o.Outcome != run.OutcomeTimedOut {
			c.Errorf("too long: %+v", o)
		}
		a = distributed("pytorch", 2, "memory", `[ $RANK = 1 ] && exec tail /dev/zero; sleep 300`)
		a.Config.Resources.Memory = 96 << 20
		if o, _ = c.finished(a); o.Outcome != run.OutcomeOutOfMemory {
			c.Errorf("too much: %+v", o)
		}
		a = distributed("pytorch", 2, "missing", "")
		a.Config.Command, a.Config.Script = "", "train.py"
		if env != nil {
			e := *env
			e.Interpreter = "/no/python"
			a.Environment = &e
		}
		a.Snapshot = c.again("py", env, map[string]string{"train.py": ""}).Snapshot
		if env == nil {
			a.Config.EnvironmentVariables = map[string]string{"PATH": "/nowhere"}
		}
		if o, _ = c.finished(a); o.Outcome != run.OutcomeEnvironmentFailed || !strings.Contains(o.Reason, "no such program") {
			c.Errorf("without Python: %+v", o)
		}
		a = distributed("mpi", 2, "mpi", "true")
		a.Config.EnvironmentVariables = map[string]string{"PATH": "/bin-without-mpi"}
		if o, _ = c.finished(a); o.Outcome != run.OutcomeEnvironmentFailed || !strings.Contains(o.Reason, "apt install openmpi-bin") {
			c.Errorf("without MPI: %+v", o)
		}
	})
}

// All of a distributed run is told to end, each once, and may end well.
func TestDistributedStop(t *testing.T) {
	inBothForms(t, func(c *computer, env *environment.Resolved) {
		a := c.again("stop", env, nil)
		a.Config.Command = `trap 'echo asked >>outputs/$RANK; exit 0' TERM; (trap '' TERM; while :; do sleep 0.1; done) & : >outputs/ready.$RANK; while :; do sleep 0.02; done 2>/dev/null`
		a.Config.Distributed = &runconfig.Distributed{Framework: "pytorch", ProcessesPerNode: 2}
		ref := c.begin(a)
		c.seen(ref, func(o backends.Observation) bool {
			left, err := filepath.Glob(filepath.Join(attemptDir(c.home, ref), "work/outputs/ready.*"))
			if err != nil {
				c.Fatal(err)
			}
			return o.Phase == backends.Running && len(left) == 2
		})
		const grace = 20 * time.Second
		if err := c.Stop(c.Context(), ref, grace); err != nil {
			c.Fatal(err)
		}
		if o := c.ended(ref); o.Outcome != run.OutcomeCanceled {
			c.Errorf("seen %+v", o)
		}
		files := c.collect(ref)
		if files["outputs/0"] != "asked\n" || files["outputs/1"] != "asked\n" {
			c.Errorf("files %q", files)
		}
		if left := backendtest.Marked(ref); len(left) > 0 {
			c.Errorf("still there: %v", left)
		}
		if err := c.Release(c.Context(), ref); err != nil {
			c.Error(err)
		}
	})
}

func TestScripts(t *testing.T) {
	const who = "echo \"bash $BASH_VERSION\" | cut -c 1-6; echo \"$1\"\n"
	tests := []struct {
		name, script, content, want string
	}{
		{"bash, not executable", "run.sh", "#!/usr/bin/env bash\n" + who, "bash 5\na b\n"},
		{"bash, executable", "run.sh*", "#!/bin/bash -eu\n" + who, "bash 5\na b\n"},
		{"Windows", "run.sh", "#!/usr/bin/env bash\r\necho $BASH_VERSION | cut -c 1 #\r\n", "5\n"},
		{"no first line", "run.sh", "echo \"plain $1\"\n", "plain a b\n"},
		{"another name, not executable", "train", "#!/bin/cat -s\n", "#!/bin/cat -s\n"},
	}
	inBothForms(t, func(c *computer, env *environment.Resolved) {
		for i, test := range tests {
			a := c.again("s"+string(rune('a'+i)), env, map[string]string{test.script: test.content})
			a.Config.Command, a.Config.Script = "", strings.TrimSuffix(test.script, "*")
			if strings.Contains(test.want, "a b") {
				a.Config.Arguments = []string{"a b"}
			}
			plan, err := c.Plan(c.Context(), a)
			if err != nil {
				c.Fatal(err)
			}
			o, files := c.finished(a)
			if o.Outcome != run.OutcomeCompleted {
				c.Errorf("%s: %+v", test.name, o)
			}
			if diff := cmp.Diff(test.want, files["logs/std_log.txt"]); diff != "" {
				c.Errorf("%s, by %q: %s", test.name, plan.Command, diff)
			}
			if first := runconfig.FirstLine([]byte(test.content)); len(first) > 0 && !cmp.Equal(first, plan.Command[:len(first)]) {
				c.Errorf("%s: planned %q", test.name, plan.Command)
			}
		}
		for script, hint := range map[string]string{"my notes.ipynb": "jupyter nbconvert --to script 'my notes.ipynb'", "model.R": "chmod +x"} {
			a := c.again("no", env, map[string]string{script: "{}"})
			a.Config.Command, a.Config.Script = "", script
			_, planErr := c.Plan(c.Context(), a)
			for _, err := range []error{planErr, c.Prepare(c.Context(), a, nil)} {
				if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(backends.HintOf(err), hint) {
					c.Errorf("%s: %v, hint %q", script, err, backends.HintOf(err))
				}
			}
			if err := c.Release(c.Context(), a.Ref()); err != nil {
				c.Error(err)
			}
		}
	})
}

// What a script leaves beside outputs/ and logs/ is named.
func TestLeftOutside(t *testing.T) {
	inBothForms(t, func(c *computer, env *environment.Resolved) {
		a := c.again("left", env, map[string]string{"same": "same", "grows": "x", "dir/f": "f", "gone": ""})
		a.Config.Command = `echo m >'model "1".pt'; mkdir checkpoints __pycache__; echo more >>grows; rm gone; : >dir/new; ln -s same link; echo kept >outputs/kept`
		ref := c.begin(a)
		c.ended(ref)
		var files map[string]string
		for range 2 { // a Collect may be repeated
			files = c.collect(ref)
		}
		names, more, err := machine.LeftOutside(strings.NewReader(files["logs/not_collected.txt"]))
		if diff := cmp.Diff([]string{"checkpoints/", "grows", "link", `model "1".pt`}, names); diff != "" || more != 0 || err != nil {
			c.Errorf("%s, %d more, %v in %q", diff, more, err, files["logs/not_collected.txt"])
		}
		a = c.again("many", env, nil)
		a.Config.Command = "for i in 1 2 3 4 5 6 7 8 9 a b c; do : >f$i; done; ln -s /etc outputs/etc"
		_, files = c.finished(a)
		names, more, err = machine.LeftOutside(strings.NewReader(files["logs/not_collected.txt"]))
		if len(names) != 10 || more != 2 || err != nil || !strings.Contains(files["logs/not_collected.txt"], "leads out") {
			c.Errorf("%q and %d more, %v in %q", names, more, err, files["logs/not_collected.txt"])
		}
		a = c.again("nothing", env, map[string]string{"a": ""})
		if _, files = c.finished(a); files["logs/not_collected.txt"] != "" {
			c.Errorf("nothing left: %q", files)
		}
	})
}
