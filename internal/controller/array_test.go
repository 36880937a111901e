package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

func (h *house) array(request string, arguments [][]string, change func(*runconfig.ScriptRunConfig)) ([]run.Run, bool, error) {
	cfg := &runconfig.ScriptRunConfig{
		Experiment: "iris", Script: "train.py", ComputeTarget: "local", Arguments: []string{"--all"}, Tags: map[string]string{"team": "vision"},
		Resources: runconfig.Resources{Nodes: 1, CPUs: 1},
	}
	if change != nil {
		change(cfg)
	}
	return h.c.SubmitArray(h.t.Context(), ArraySubmission{
		Submission: Submission{RequestID: request, Config: cfg, Snapshot: string(h.source)}, Arguments: arguments,
	})
}

// Many runs of one submission are runs like any other, with their own arguments;
// asked for again they are the same.
func TestSubmitArray(t *testing.T) {
	h := newHouse(t, newFakeTarget(4))
	h.target.endAtOnce = true
	arguments := [][]string{{"--a", "1"}, {}, {"--a", "x y"}}
	runs, created, err := h.array("once", arguments, nil)
	if err != nil || !created || len(runs) != 3 {
		t.Fatal(len(runs), created, err)
	}
	for i := range runs {
		r := h.until(runs[i].ID, run.Completed)
		if d := cmp.Diff(append([]string{"--all"}, arguments[i]...), r.Config.Arguments); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string]string{"team": "vision", "array": runs[0].ID}, r.Tags); d != "" {
			t.Error(d)
		}
		if got := r.Config.EnvironmentVariables[runconfig.ArrayIndex]; got != fmt.Sprint(i) {
			t.Errorf("run %d has the number %q", i, got)
		}
	}
	again, created, err := h.array("once", arguments, nil)
	if err != nil || created || len(again) != 3 {
		t.Fatal(len(again), created, err)
	}
	for i := range again {
		if again[i].ID != runs[i].ID {
			t.Errorf("run %d was %s and is %s", i, runs[i].ID, again[i].ID)
		}
	}
}

// What cannot be carried out is refused whole.
func TestSubmitArrayRefused(t *testing.T) {
	h := newHouse(t, newFakeTarget(4))
	many := make([][]string, runconfig.MaxArray+1)
	one := [][]string{{"--a"}, {"--b"}}
	for _, c := range []struct {
		name      string
		arguments [][]string
		change    func(*runconfig.ScriptRunConfig)
		want      string
	}{
		{"no runs", nil, nil, "an array without runs"},
		{"too many", many, nil, "10001 runs, at most 10000"},
		{"more than there is", one, func(c *runconfig.ScriptRunConfig) { c.Resources.CPUs = 64 }, "asks for 64 CPUs"},
		{"no target", one, func(c *runconfig.ScriptRunConfig) { c.ComputeTarget = "nope" }, "nope"},
	} {
		if _, _, err := h.array(c.name, c.arguments, c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	cfg := &runconfig.ScriptRunConfig{Experiment: "iris", Script: "train.py", ComputeTarget: "local", Resources: runconfig.Resources{Nodes: 1, CPUs: 1}, Array: &runconfig.Array{File: "x"}}
	_, _, err := h.c.Submit(t.Context(), Submission{RequestID: "array", Config: cfg, Snapshot: string(h.source)})
	if _, invalid := errors.AsType[*InvalidError](err); !invalid {
		t.Error(err)
	}
	if all, err := h.c.List(t.Context(), Filter{}); err != nil || len(all) != 0 {
		t.Errorf("%d runs, %v", len(all), err)
	}
}
