package local_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/local"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// computer is a backend with its home, for what the suite cannot ask of all.
type computer struct {
	*testing.T
	*local.Backend
	home string
}

func newComputer(t *testing.T, socket string, change ...func(*local.Options)) *computer {
	t.Helper()
	c := &computer{T: t, home: home(t)}
	store, err := snapshot.Open(filepath.Join(c.home, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	o := local.Options{
		Home: c.home, Installation: "test-" + filepath.Base(c.home), Snapshots: store, Engine: container.Options{Socket: socket},
	}
	for _, f := range change {
		f(&o)
	}
	if c.Backend, err = local.New(context.WithoutCancel(t.Context()), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *computer) attempt(env *environment.Resolved, command string, source map[string]string) backends.Attempt {
	c.Helper()
	dir := c.TempDir()
	for name, content := range source {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			c.Fatal(err)
		}
	}
	digest := backendtest.Root(c.home).Snapshot(c, dir)
	a := backends.Attempt{
		Run: "odd-" + strings.ToLower(filepath.Base(c.home[len(c.home)-6:])), Number: 1, Experiment: "odd", Environment: env, Snapshot: digest,
		Config: &runconfig.ScriptRunConfig{Command: command, Resources: runconfig.Resources{Nodes: 1, CPUs: 1}},
	}
	c.Cleanup(func() {
		if err := c.Release(context.WithoutCancel(c.Context()), a.Ref()); err != nil {
			c.Error(err)
		}
	})
	return a
}

func (c *computer) begin(a backends.Attempt) backends.Ref {
	c.Helper()
	if err := c.Prepare(c.Context(), a, nil); err != nil {
		c.Fatal(err)
	}
	handle, err := c.Start(c.Context(), a)
	if err != nil {
		c.Fatal(err)
	}
	ref := a.Ref()
	ref.Handle = handle
	return ref
}

func (c *computer) seen(ref backends.Ref, fits func(backends.Observation) bool) backends.Observation {
	c.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		seen, err := c.Observe(c.Context(), []backends.Ref{ref})
		if err != nil {
			c.Fatal(err)
		}
		if fits(seen[0]) {
			return seen[0]
		}
		if time.Now().After(deadline) {
			c.Fatalf("waited in vain; last seen: %+v", seen[0])
		}
	}
}

func (c *computer) ended(ref backends.Ref) backends.Observation {
	c.Helper()
	return c.seen(ref, func(o backends.Observation) bool { return o.Phase == backends.Ended })
}

// collect brings it home and gives the content of its files.
func (c *computer) collect(ref backends.Ref) map[string]string {
	c.Helper()
	home := artifact.OpenDirectory(attemptDir(c.home, ref))
	if err := c.Collect(c.Context(), ref, home); err != nil {
		c.Fatal(err)
	}
	list, err := home.List(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range list {
		r, err := home.Open(c.Context(), f.Path)
		if err != nil {
			c.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			c.Fatal(err)
		}
		all[f.Path] = string(data)
	}
	return all
}

// What the tools said comes home although nothing ran.
func TestEnvironmentLogComesHome(t *testing.T) {
	dir := t.TempDir()
	const uv = "#!/bin/sh\n[ \"$1\" = --version ] && { echo uv 0.0.1; exit; }\necho the tool says; echo 'error: and fails'; exit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "uv"), []byte(uv), 0o755); err != nil {
		t.Fatal(err)
	}
	c := newComputer(t, "", func(o *local.Options) { o.Environ = []string{"PATH=" + dir + ":/usr/bin:/bin", "HOME=" + dir} })
	a := c.attempt(&environment.Resolved{Kind: environment.Venv, Digest: "sha256:" + strings.Repeat("f", 64), Interpreter: "python3"}, "true", nil)
	err := c.Prepare(t.Context(), a, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(err.Error(), "and fails") {
		t.Errorf("error %v", err)
	}
	got := c.collect(a.Ref())
	if log := got["logs/environment_log.txt"]; !strings.Contains(log, "the tool says") || !strings.Contains(log, "error: and fails") {
		t.Errorf("came home: %q", got)
	}
}

func TestLogOffset(t *testing.T) {
	c := newComputer(t, "")
	ref := c.begin(c.attempt(nil, `i=1; while [ $i -le 30000 ]; do echo "line $i"; i=$((i+1)); done; printf 'no end'`, nil))
	c.ended(ref)
	if at, err := c.LogOffset(t.Context(), backends.Ref{Run: "never", Number: 1}, 0, 5, time.Time{}); at != 0 || err != nil {
		t.Errorf("of nothing: %d, %v", at, err)
	}
	for tail, want := range map[int]string{
		-1: "line 1\nline 2", 0: "", 1: "no end", 2: "line 30000\nno end", 3: "line 29999\n", 20000: "line 10002\n", 30001: "line 1\n", 50000: "line 1\n",
	} {
		at, err := c.LogOffset(t.Context(), ref, 0, tail, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Logs(t.Context(), ref, backends.Source{}, at)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(data), want) || want == "" && len(data) > 0 {
			t.Errorf("tail %d begins with %.30q, want %q", tail, data, want)
		}
	}
	if at, err := c.LogOffset(t.Context(), ref, 0, -1, time.Now().Add(time.Hour)); err != nil || at < 300_000 {
		t.Errorf("since later: %d, %v", at, err)
	}
}

func TestPlan(t *testing.T) {
	c := newComputer(t, "")
	a := c.attempt(&environment.Resolved{Kind: environment.Venv, Digest: "sha256:" + strings.Repeat("9", 64), Interpreter: "python3"}, "", nil)
	a.Config.Command, a.Config.Script, a.Config.Arguments = "", "train.py", []string{"--alpha", "0.5"}
	plan, err := c.Plan(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(c.home, "environments", strings.Repeat("9", 64), "bin/python")
	if diff := cmp.Diff(backends.Plan{Command: []string{python, "train.py", "--alpha", "0.5"}}, plan); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(c.home, "runs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a plan made something: %v", err)
	}
}

// inDocker is a computer with an engine whose way can be shut.
func inDocker(t *testing.T) (*computer, *gate, testenv.Engine, *environment.Resolved) {
	t.Helper()
	engine := testenv.Docker(t)
	g := newGate(t, engine.Host)
	return newComputer(t, g.socket), g, engine, &environment.Resolved{
		Kind: environment.Image, Digest: "sha256:" + strings.Repeat("d", 64), Interpreter: "python3", Docker: &environment.Docker{Image: engine.Base},
	}
}

// Somebody kills the container, supervisor and all.
func TestContainerKilled(t *testing.T) {
	c, _, engine, env := inDocker(t)
	ref := c.begin(c.attempt(env, "echo so far; echo half >outputs/half; sleep 300", nil))
	name := container.Mark{Run: ref.Run, Attempt: ref.Number}.Name()
	c.seen(ref, func(o backends.Observation) bool {
		_, err := os.Stat(filepath.Join(attemptDir(c.home, ref), "work/outputs/half"))
		return o.Phase == backends.Running && err == nil
	})
	if out, err := engine.Command(t.Context(), "kill", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := c.ended(ref)
	if o.Outcome != run.OutcomeInternalError || o.Signal != "SIGKILL" || o.ExitCode == nil || *o.ExitCode != 137 || o.Reason == "" {
		t.Errorf("seen %+v", o)
	}
	if diff := cmp.Diff(map[string]string{"logs/std_log.txt": "so far\n", "outputs/half": "half\n"}, c.collect(ref)); diff != "" {
		t.Error(diff)
	}
}

// An engine that does not answer leaves open what only it knows.
func TestEngineAway(t *testing.T) {
	c, g, _, env := inDocker(t)
	ref := c.begin(c.attempt(env, "sleep 0.5; exit 3", nil))
	g.close()
	o := c.seen(ref, func(o backends.Observation) bool { return o.Phase != backends.Running })
	if o.Phase != backends.Unknown || o.Reason == "" {
		t.Errorf("cut off: %+v", o)
	}
	if err := c.Release(t.Context(), ref); err == nil {
		t.Error("released though its container may be there")
	}
	if err := c.Prepare(t.Context(), c.attemptOf(env), nil); backends.OutcomeOf(err) != run.OutcomeTargetUnreachable || !backends.IsTemporary(err) {
		t.Errorf("prepare: %v", err)
	}
	g.open()
	if o := c.ended(ref); o.Outcome != run.OutcomeScriptFailed || *o.ExitCode != 3 {
		t.Errorf("seen %+v", o)
	}
}

// What is broken of one attempt says nothing of the others.
func TestObserveBrokenRecord(t *testing.T) {
	for name, env := range map[string]bool{"process": false, "container": true} {
		t.Run(name, func(t *testing.T) {
			c := newComputer(t, "")
			var e *environment.Resolved
			if env {
				c, _, _, e = inDocker(t)
			}
			ref := c.begin(c.attempt(e, "exit 3", nil))
			bare := backends.Ref{Run: "broken", Number: 1}
			record := filepath.Join(attemptDir(c.home, bare), "attempt.json")
			if err := os.MkdirAll(record, 0o700); err != nil {
				t.Fatal(err)
			}
			c.ended(ref)
			seen, err := c.Observe(t.Context(), []backends.Ref{bare, ref})
			if err != nil {
				t.Fatal(err)
			}
			if seen[0].Phase != backends.Unknown || !strings.Contains(seen[0].Reason, "attempt.json") {
				t.Errorf("the broken one: %+v", seen[0])
			}
			if seen[1].Phase != backends.Ended || seen[1].Outcome != run.OutcomeScriptFailed {
				t.Errorf("the other one: %+v", seen[1])
			}
			if err := os.Remove(record); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A file that a killed agent was writing goes with the attempt, and nothing
// that has come home does.
func TestReleaseUnfinished(t *testing.T) {
	c := newComputer(t, "")
	ref := c.begin(c.attempt(nil, "echo >outputs/result", nil))
	c.ended(ref)
	c.collect(ref)
	dir := attemptDir(c.home, ref)
	if err := os.WriteFile(filepath.Join(dir, host.Unfinished+"1234"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := make([]string, len(entries))
	for i, e := range entries {
		left[i] = e.Name()
	}
	if diff := cmp.Diff([]string{"logs", "outputs"}, left); diff != "" {
		t.Error(diff)
	}
}

// attemptOf another run.
func (c *computer) attemptOf(env *environment.Resolved) backends.Attempt {
	c.Helper()
	a := c.attempt(env, "true", nil)
	a.Run += "-other"
	c.Cleanup(func() {
		if err := c.Release(context.WithoutCancel(c.Context()), a.Ref()); err != nil {
			c.Error(err)
		}
	})
	return a
}

// Without an engine a container is refused in words, and processes run.
func TestNoEngine(t *testing.T) {
	c := newComputer(t, filepath.Join(t.TempDir(), "nothing.sock"))
	env := &environment.Resolved{Kind: environment.Image, Digest: "sha256:" + strings.Repeat("d", 64), Docker: &environment.Docker{Image: "busybox"}}
	err := c.Prepare(t.Context(), c.attempt(env, "true", nil), nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || backends.HintOf(err) == "" {
		t.Errorf("error %v, hint %q", err, backends.HintOf(err))
	}
}
