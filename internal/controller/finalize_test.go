package controller

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

func TestOutputsThatCannotComeHomeAreWaitedFor(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	h.target.collect = func() error { return errors.New("no space left on device") }
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "x\n")
	h.eventually("remark", func() bool {
		got, err := h.c.Run(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got.State == run.Finalizing && strings.Contains(got.Message, "no space left on device")
	})
	h.target.mu.Lock()
	released := len(h.target.released)
	h.target.collect = nil
	h.target.mu.Unlock()
	if released != 0 {
		t.Error("released before its outputs were home")
	}
	h.until(r.ID, run.Completed)
}

func TestACancelEndsTheWaitForOutputs(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	h.target.collect = func() error { return errors.New("device or resource busy") }
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "x\n")
	h.until(r.ID, run.Finalizing)
	if _, err := h.c.Cancel(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	h.ahead.Store(int64(2 * cancelPatience))
	h.until(r.ID, run.Completed) // its script had ended well before the cancel
	events, err := h.c.Events(t.Context(), r.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, e := range events {
		told = told || strings.Contains(e.Why, "device or resource busy")
	}
	if !told {
		t.Error("the story does not tell that outputs were given up")
	}
}

func TestWhatStillRunsIsStoppedBeforeItIsCollected(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	asked := make(chan struct{}, 8)
	h.target.mu.Lock()
	h.target.collect = func() error {
		select {
		case asked <- struct{}{}:
		default:
		}
		if len(asked) < 2 {
			return backends.ErrStillRuns
		}
		return nil
	}
	h.target.mu.Unlock()
	h.target.end(attempt(r, 1), run.OutcomeScriptFailed, 1, "")
	h.until(r.ID, run.Failed)
}

func TestInputsThatAreNotThereAreRefused(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	for path, want := range map[string]string{
		"/nowhere/data":        "input d is not there: /nowhere/data",
		"target:/nowhere/data": "input d is not there: /nowhere/data",
		"run:none/outputs/x":   "input d: there is no run none",
	} {
		cfg := &runconfig.ScriptRunConfig{
			Experiment: "iris", Script: "train.py", ComputeTarget: "local", Resources: runconfig.Resources{Nodes: 1, CPUs: 1},
			Inputs: map[string]runconfig.Input{"d": {Path: path, Mode: "copy"}},
		}
		_, _, err := h.c.Submit(t.Context(), Submission{RequestID: path, Config: cfg, Snapshot: string(h.source)})
		if e, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(e.What, want) || e.Where != "inputs.d.path" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestANodeThatARunDoesNotHave(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	r := h.submit(nil)
	if _, err := h.c.Logs(t.Context(), r.ID, LogQuery{Node: 3, Tail: -1}); err == nil || !strings.Contains(err.Error(), "has no node 3") {
		t.Errorf("got %v", err)
	}
}

func TestADamagedKeyStopsOnlyWhatNeedsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.key")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	var damaged *KeyError
	if _, err := s.seal("x"); !errors.As(err, &damaged) || damaged.Hint() == "" {
		t.Errorf("got %v", err)
	}
}

// TestPlanRefusesWhatSubmitRefusesAllAtOnce: without a snapshot a submission is
// only checked.
func TestPlanRefusesWhatSubmitRefusesAllAtOnce(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	s := Submission{Config: &runconfig.ScriptRunConfig{
		Experiment: "iris", Script: "train.py", ComputeTarget: "gpubox", Secrets: []string{"TOKEN"},
		Inputs:    map[string]runconfig.Input{"d": {Path: "/nowhere/at/all", Mode: runconfig.ModeMount}},
		Resources: runconfig.Resources{Nodes: 1, CPUs: 1},
	}}
	_, err := h.c.Plan(t.Context(), s)
	all, ok := errors.AsType[*InvalidsError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var where []string
	for _, one := range all.All {
		where = append(where, one.Where)
	}
	if diff := cmp.Diff([]string{"secrets[0]", "inputs.d.path", "compute_target"}, where); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPathOfTheTargetsOwnIsNoMistake(t *testing.T) {
	cfg := &runconfig.ScriptRunConfig{Inputs: map[string]runconfig.Input{"d": {Path: "/only/there"}}}
	if wrong := (&Controller{}).checkInputs(t.Context(), cfg, false); len(wrong) > 0 {
		t.Errorf("refused: %v", wrong[0])
	}
}
