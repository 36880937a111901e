package controller

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/metrics"
	"github.com/runnerml/runner/runconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a RUNNER_HOME whose agents come and go.
type house struct {
	uploader Uploader
	t        testing.TB
	home     string
	target   *fakeTarget
	source   snapshot.ID
	store    *store.Store
	c        *Controller
	ahead    atomic.Int64 // how far the clock is ahead, in nanoseconds
	// machines that can be attached, and how long they may be away; nil and
	// zero: none, and the default.
	machines *compute.Machines
	limit    time.Duration
	// artifacts are stores beside the home.
	artifacts Artifacts
}

func newHouse(t testing.TB, target *fakeTarget) *house {
	h := &house{}
	h.init(t, target)
	return h
}

func (h *house) init(t testing.TB, target *fakeTarget) {
	h.t, h.home, h.target = t, t.TempDir(), target
	h.open()
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "train.py"), []byte("print(1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	snap, err := h.c.snapshots.Take(t.Context(), src, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.source = snap.ID
	t.Cleanup(h.close)
}

func (h *house) open() {
	h.t.Helper()
	s, err := store.Open(context.Background(), filepath.Join(h.home, "runner.db"))
	if err != nil {
		h.t.Fatal(err)
	}
	snapshots, err := snapshot.Open(filepath.Join(h.home, "objects"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.store = s
	h.c, err = New(Options{
		Home: h.home, Store: s, Snapshots: snapshots, Backends: map[string]backends.Backend{"local": fakeBackend{h.target}},
		Metrics: metrics.New(func() map[run.State]int { return nil }), Logger: slog.New(slog.DiscardHandler),
		Now:      func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) },
		Machines: h.machines, UnreachableLimit: h.limit, Artifacts: h.artifacts, Uploader: h.uploader,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.c.Start(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) close() {
	if h.c != nil {
		h.c.Close()
		if err := h.store.Close(); err != nil {
			h.t.Error(err)
		}
	}
	h.c = nil
}

// restart is a new agent over the same home and target.
func (h *house) restart() {
	h.close()
	h.open()
}

func (h *house) submit(change func(*runconfig.ScriptRunConfig)) *run.Run {
	h.t.Helper()
	cfg := &runconfig.ScriptRunConfig{
		Experiment: "iris", Script: "train.py", ComputeTarget: "local",
		Resources: runconfig.Resources{Nodes: 1, CPUs: 1}, Grace: runconfig.Duration(time.Second),
	}
	if change != nil {
		change(cfg)
	}
	secrets := map[string]string{}
	for _, name := range cfg.Secrets {
		secrets[name] = "hunter2"
	}
	r, created, err := h.c.Submit(h.t.Context(), Submission{
		RequestID: time.Now().String(), Config: cfg, Snapshot: string(h.source), Secrets: secrets,
	})
	if err != nil || !created {
		h.t.Fatalf("submit: created %v, %v", created, err)
	}
	return r
}

// until waits for a run to be in a state.
func (h *house) until(id string, want run.State) *run.Run {
	h.t.Helper()
	var r *run.Run
	h.eventually("run in state "+string(want), func() bool {
		var err error
		if r, err = h.c.Run(h.t.Context(), id); err != nil {
			h.t.Fatal(err)
		}
		return r.State == want
	})
	return r
}

func (h *house) eventually(what string, cond func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			h.t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func attempt(r *run.Run, n int) backends.Ref { return backends.Ref{Run: r.ID, Number: n} }

func TestARunGoesThroughItsLife(t *testing.T) {
	h := newHouse(t, newFakeTarget(2))
	r := h.submit(func(c *runconfig.ScriptRunConfig) { c.Secrets = []string{"TOKEN"} })
	h.until(r.ID, run.Running)
	if got := h.target.attempts[attempt(r, 1)].attempt.Secrets; !cmp.Equal(got, map[string]string{"TOKEN": "hunter2"}) {
		t.Errorf("secrets that reached the backend: %v", got)
	}
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "hello\n")
	got := h.until(r.ID, run.Completed)
	if got.Outcome == nil || *got.Outcome != run.OutcomeCompleted || got.ExitCode == nil || *got.ExitCode != 0 || got.EndedAt == nil {
		t.Errorf("the end: %+v", got)
	}
	events, err := h.c.Events(t.Context(), r.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	var story []run.State
	for _, e := range events {
		story = append(story, e.To)
	}
	want := []run.State{run.Queued, run.Preparing, run.Starting, run.Running, run.Finalizing, run.Completed}
	if d := cmp.Diff(want, story); d != "" {
		t.Error(d)
	}
	if log := h.log(r.ID, LogQuery{Tail: -1}); log != "hello\n" {
		t.Errorf("log %q", log)
	}
	files, err := h.c.Outputs(t.Context(), r.ID, 0)
	if err != nil || len(files) != 2 {
		t.Errorf("outputs %v, %v", files, err)
	}
	h.eventually("idle", h.c.Idle)
}

func (h *house) log(id string, q LogQuery) string {
	h.t.Helper()
	f, err := h.c.Logs(h.t.Context(), id, q)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func TestHowAnAttemptEndsDecidesWhatFollows(t *testing.T) {
	one := 1
	for name, tc := range map[string]struct {
		outcome  run.Outcome
		restart  runconfig.Restart
		attempts int
		state    run.State
	}{
		"script failed":              {outcome: run.OutcomeScriptFailed, attempts: 1, state: run.Failed},
		"script failed, may restart": {outcome: run.OutcomeScriptFailed, restart: runconfig.Restart{Failed: &one}, attempts: 2, state: run.Failed},
		"node lost, once allowed":    {outcome: run.OutcomeNodeLost, restart: runconfig.Restart{Preempted: &one}, attempts: 2, state: run.Failed},
		"out of memory":              {outcome: run.OutcomeOutOfMemory, attempts: 1, state: run.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, newFakeTarget(1))
			r := h.submit(func(c *runconfig.ScriptRunConfig) { c.Restart = tc.restart })
			for n := 1; n <= tc.attempts; n++ {
				h.eventually("attempt running", func() bool { return h.target.running(attempt(r, n)) })
				h.target.end(attempt(r, n), tc.outcome, 3, "x\n")
			}
			got := h.until(r.ID, tc.state)
			if len(got.Attempts) != tc.attempts || *got.Outcome != tc.outcome || *got.ExitCode != 3 {
				t.Errorf("%d attempts, %s, %d", len(got.Attempts), *got.Outcome, *got.ExitCode)
			}
			if log := h.log(r.ID, LogQuery{Attempt: 1, Tail: -1, Follow: true}); log != "x\n" {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestCancelIsHonouredInEveryState(t *testing.T) {
	full := func(h *house) { h.submit(nil) } // takes the only slot
	for name, tc := range map[string]struct {
		before func(*house)
		state  run.State
	}{
		"Queued":    {before: full, state: run.Queued},
		"Preparing": {before: func(h *house) { h.target.block = make(chan struct{}) }, state: run.Preparing},
		"Running":   {before: func(*house) {}, state: run.Running},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, newFakeTarget(1))
			tc.before(h)
			r := h.submit(nil)
			h.until(r.ID, tc.state)
			if _, err := h.c.Cancel(t.Context(), r.ID); err != nil {
				t.Fatal(err)
			}
			got := h.until(r.ID, run.Canceled)
			if *got.Outcome != run.OutcomeCanceled {
				t.Errorf("outcome %s", *got.Outcome)
			}
			if _, err := h.c.Cancel(t.Context(), r.ID); err != nil {
				t.Errorf("cancel again: %v", err)
			}
		})
	}
}

func TestANewAgentPicksEverythingUp(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	running := h.submit(nil)
	waiting := h.submit(nil)
	h.until(running.ID, run.Running)
	h.restart()
	h.target.end(attempt(running, 1), run.OutcomeCompleted, 0, "")
	h.until(running.ID, run.Completed)
	h.until(waiting.ID, run.Running)
	h.close()
	h.target.end(attempt(waiting, 1), run.OutcomeScriptFailed, 9, "") // while nobody looks
	h.open()
	if got := h.until(waiting.ID, run.Failed); *got.ExitCode != 9 {
		t.Errorf("exit code %d", *got.ExitCode)
	}
	for ref, n := range h.target.starts {
		if n != 1 {
			t.Errorf("%v was started %d times", ref, n)
		}
	}
}

func TestALostAnswerToStartStartsNothingTwice(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	h.target.block = make(chan struct{})
	r := h.submit(nil)
	h.until(r.ID, run.Preparing)
	h.close()
	// The old agent's last deed: the target began, and nobody wrote it down.
	if _, err := (fakeBackend{h.target}).Start(t.Context(), backends.Attempt{Run: r.ID, Number: 1}); err != nil {
		t.Fatal(err)
	}
	close(h.target.block)
	h.open()
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "")
	h.until(r.ID, run.Completed)
	if n := h.target.starts[attempt(r, 1)]; n != 1 {
		t.Errorf("started %d times", n)
	}
}

func TestASilentTargetChangesNoState(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	h.target.mu.Lock()
	h.target.down = errors.New("no route to host")
	h.target.mu.Unlock()
	h.target.changed(backends.Ref{})
	h.eventually("remark", func() bool {
		got, err := h.c.Run(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(got.Message, "target unreachable since") && strings.Contains(got.Message, "no route to host")
	})
	h.target.mu.Lock()
	h.target.down = nil
	h.target.mu.Unlock()
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "")
	h.until(r.ID, run.Completed)
}

func TestADedicatedRunTakesTheSlotOfALowPriorityOne(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	low := h.submit(func(c *runconfig.ScriptRunConfig) { c.VMPriority = runconfig.LowPriority })
	h.until(low.ID, run.Running)
	high := h.submit(nil)
	h.until(high.ID, run.Running)
	got := h.until(low.ID, run.Queued)
	if a := got.Attempts[0]; *a.Outcome != run.OutcomePreempted {
		t.Errorf("first attempt ended %s", *a.Outcome)
	}
	if !strings.Contains(got.Message, high.ID) {
		t.Errorf("why it waits: %q", got.Message)
	}
	h.target.end(attempt(high, 1), run.OutcomeCompleted, 0, "")
	h.until(low.ID, run.Running)
	h.target.end(attempt(low, 2), run.OutcomeCompleted, 0, "")
	h.until(low.ID, run.Completed)
}

func TestPrepareThatFails(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	h.target.prepare = func() error {
		return &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: errors.New("no such package: nope"), Hint: "see the index"}
	}
	r := h.submit(nil)
	got := h.until(r.ID, run.Failed)
	if *got.Outcome != run.OutcomeEnvironmentFailed || got.Message != "no such package: nope" || got.Hint != "see the index" {
		t.Errorf("%s %q", *got.Outcome, got.Message)
	}
	if len(h.target.released) != 1 {
		t.Errorf("released: %v", h.target.released)
	}
}

func TestSubmitRefusesWhatCanNeverRun(t *testing.T) {
	h := newHouse(t, newFakeTarget(2, "GPU-0"))
	base := runconfig.ScriptRunConfig{Experiment: "iris", Script: "train.py", ComputeTarget: "local", Resources: runconfig.Resources{Nodes: 1, CPUs: 1}}
	for name, tc := range map[string]struct {
		change func(*runconfig.ScriptRunConfig)
		want   string
	}{
		"too many GPUs":    {func(c *runconfig.ScriptRunConfig) { c.Resources.GPUs = 8 }, "asks for 8 GPUs, local has 1"},
		"too many nodes":   {func(c *runconfig.ScriptRunConfig) { c.Resources.Nodes = 2 }, "asks for 2 nodes, local is one machine"},
		"unknown target":   {func(c *runconfig.ScriptRunConfig) { c.ComputeTarget = "gpubox" }, `no compute target is named "gpubox"`},
		"secret not given": {func(c *runconfig.ScriptRunConfig) { c.Secrets = []string{"HF_TOKEN"} }, "secret HF_TOKEN has no value"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := base
			tc.change(&cfg)
			_, _, err := h.c.Submit(t.Context(), Submission{RequestID: name, Config: &cfg, Snapshot: string(h.source)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTheSameRequestMakesOneRun(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	cfg := &runconfig.ScriptRunConfig{Experiment: "iris", Script: "train.py", ComputeTarget: "local", Resources: runconfig.Resources{Nodes: 1, CPUs: 1}}
	s := Submission{RequestID: "once", Config: cfg, Snapshot: string(h.source)}
	first, created, err := h.c.Submit(t.Context(), s)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, created, err := h.c.Submit(t.Context(), s)
	if err != nil || created || again.ID != first.ID {
		t.Errorf("again: %v created %v, %v", again, created, err)
	}
}

func TestFollowingALogGoesOnIntoTheNextAttempt(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	one := 1
	r := h.submit(func(c *runconfig.ScriptRunConfig) { c.Restart = runconfig.Restart{Failed: &one} })
	f, err := h.c.Logs(t.Context(), r.ID, LogQuery{Tail: -1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := make(chan string)
	go func() {
		data, _ := io.ReadAll(f)
		read <- string(data)
	}()
	for n := 1; n <= 2; n++ {
		h.eventually("attempt running", func() bool { return h.target.running(attempt(r, n)) })
		h.target.end(attempt(r, n), run.OutcomeScriptFailed, 1, strings.Repeat("line\n", n))
	}
	if got := <-read; got != "line\nline\nline\n" {
		t.Errorf("read %q", got)
	}
}

func TestWatchTellsTheWholeStory(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	h.target.block = make(chan struct{})
	r := h.submit(nil)
	notices, err := h.c.Watch(t.Context(), r.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	var told []run.State
	progress, last := false, run.State("")
	for n := range notices {
		switch {
		case n.Event != nil:
			told = append(told, n.Event.To)
		case n.Progress != nil:
			if !progress {
				progress = true
				close(h.target.block)
			}
		case n.Run != nil:
			last = n.Run.State
			if last == run.Running {
				h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "")
			}
		}
	}
	want := []run.State{run.Queued, run.Preparing, run.Starting, run.Running, run.Finalizing, run.Completed}
	if d := cmp.Diff(want, told); d != "" || last != run.Completed || !progress {
		t.Errorf("%s last %s, progress %v", d, last, progress)
	}
}
