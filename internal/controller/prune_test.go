package controller

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

// prunable is a target that can be pruned.
type prunable struct {
	fakeBackend
	mu    sync.Mutex
	asked []backends.Pruning
	freed []backends.Freed
	err   error
	marks []backends.Ref
}

func (p *prunable) Prune(_ context.Context, ask backends.Pruning) ([]backends.Freed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, ask)
	return p.freed, p.err
}

func (p *prunable) Marks(context.Context) ([]backends.Ref, error) { return p.marks, nil }

// pruneHouse has runs that ended: of iris 1, 2 (failed) and 3, of rose 4; and
// one that runs.
func pruneHouse(t *testing.T) (h *house, p *prunable, ids map[string]string, running string) {
	t.Helper()
	h = newHouse(t, newFakeTarget(4))
	p = &prunable{fakeBackend: fakeBackend{h.target}}
	one, err := h.c.target("local")
	if err != nil {
		t.Fatal(err)
	}
	ids = map[string]string{}
	for _, name := range []string{"1", "2", "3", "4"} {
		r := h.submit(func(c *runconfig.ScriptRunConfig) {
			if name == "4" {
				c.Experiment = "rose"
			}
		})
		h.until(r.ID, run.Running)
		if name == "2" {
			h.target.end(attempt(r, 1), run.OutcomeScriptFailed, 3, "")
			h.until(r.ID, run.Failed)
		} else {
			h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "")
			h.until(r.ID, run.Completed)
		}
		ids[r.ID] = name
	}
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	// From here on it can be pruned, and nothing else changes.
	h.c.replaceTarget(one, &target{
		name: one.name, backend: p, slots: one.slots, observer: one.observer, ctx: one.ctx, cancel: one.cancel,
	})
	t.Cleanup(func() { h.c.replaceTarget(mustTarget(t, h), one) })
	h.ahead.Store(int64(48 * time.Hour))
	return h, p, ids, r.ID
}

func mustTarget(t *testing.T, h *house) *target {
	t.Helper()
	got, err := h.c.target("local")
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPruneRuns(t *testing.T) {
	for name, test := range map[string]struct {
		options PruneOptions
		marks   []string // runs that the target still has something of
		gone    []string
		kept    []string
	}{
		"by age":               {PruneOptions{OlderThan: 24 * time.Hour}, nil, []string{"1", "2", "3", "4"}, nil},
		"too young":            {PruneOptions{OlderThan: 72 * time.Hour}, nil, nil, nil},
		"the last stay":        {PruneOptions{KeepLast: 1}, nil, []string{"1", "2"}, nil},
		"more than there are":  {PruneOptions{KeepLast: 9}, nil, nil, nil},
		"by state":             {PruneOptions{States: []run.State{run.Failed, run.Canceled}}, nil, []string{"2"}, nil},
		"last of a state":      {PruneOptions{KeepLast: 1, States: []run.State{run.Completed}}, nil, []string{"1"}, nil},
		"of a target":          {PruneOptions{Target: "local"}, nil, []string{"1", "2", "3", "4"}, nil},
		"not what is left of":  {PruneOptions{}, []string{"3"}, []string{"1", "2", "4"}, []string{"3"}},
		"environments only":    {PruneOptions{EnvironmentsOnly: true}, nil, nil, nil},
		"of no state they are": {PruneOptions{States: []run.State{run.Canceled}}, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h, p, ids, running := pruneHouse(t)
			for id, number := range ids {
				if slices.Contains(test.marks, number) {
					p.marks = append(p.marks, backends.Ref{Run: id, Number: 1})
				}
			}
			foretold := test.options
			foretold.DryRun = true
			dry, err := h.c.Prune(t.Context(), foretold)
			if err != nil {
				t.Fatal(err)
			}
			done, err := h.c.Prune(t.Context(), test.options)
			if err != nil {
				t.Fatal(err)
			}
			dry.DryRun = false
			if diff := cmp.Diff(dry, done, cmp.FilterPath(func(p cmp.Path) bool {
				return p.Last().String() == ".places" || p.Last().String() == ".mu"
			}, cmp.Ignore())); diff != "" {
				t.Errorf("done is not what was foretold: %s", diff)
			}
			numbers := func(list []string) (all []string) {
				for _, id := range list {
					all = append(all, ids[id])
				}
				slices.Sort(all)
				return all
			}
			if diff := cmp.Diff(test.gone, numbers(done.Runs)); diff != "" {
				t.Error(diff)
			}
			var kept []string
			for _, k := range done.Kept {
				kept = append(kept, k.ID)
			}
			if diff := cmp.Diff(test.kept, numbers(kept)); diff != "" {
				t.Error(diff)
			}
			for id, number := range ids {
				_, err := h.c.Run(t.Context(), id)
				_, dirErr := os.Stat(filepath.Join(h.home, "runs", id))
				gone := slices.Contains(test.gone, number)
				if unknown := (*store.NotFoundError)(nil); errors.As(err, &unknown) != gone || os.IsNotExist(dirErr) != gone {
					t.Errorf("run %s: gone %v, %v, %v", number, gone, err, dirErr)
				}
			}
			if _, err := h.c.Run(t.Context(), running); err != nil {
				t.Errorf("what runs: %v", err)
			}
			for _, ask := range p.asked {
				if diff := cmp.Diff([]string{running}, ask.Runs); diff != "" {
					t.Errorf("what targets are told to keep: %s", diff)
				}
			}
		})
	}
}

// Snapshots go with the last run that wants them, and a dry run counts them.
func TestPruneSnapshots(t *testing.T) {
	h, _, _, running := pruneHouse(t)
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "train.py"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := h.c.snapshots.Take(t.Context(), src, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.c.Cancel(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		got, err := h.c.Prune(t.Context(), PruneOptions{Target: "local", DryRun: dry, States: []run.State{run.Failed}})
		if err != nil || got.Snapshots != 1 {
			t.Errorf("the one that nobody wants, dry %v: %+v, %v", dry, got, err)
		}
	}
	if h.c.snapshots.Has(other.ID) || !h.c.snapshots.Has(h.source) {
		t.Error("the wrong one is left")
	}
	h.until(running, run.Canceled)
	for _, dry := range []bool{true, false} {
		got, err := h.c.Prune(t.Context(), PruneOptions{DryRun: dry})
		if err != nil || got.Snapshots != 1 {
			t.Errorf("that of all runs, dry %v: %+v, %v", dry, got, err)
		}
	}
	if h.c.snapshots.Has(h.source) {
		t.Error("it is left")
	}
	h.ahead.Store(0)
	if again, err := h.c.snapshots.Take(t.Context(), src, snapshot.Options{}); err != nil || !h.c.snapshots.Has(again.ID) {
		t.Fatal(err)
	}
	if got, err := h.c.Prune(t.Context(), PruneOptions{}); err != nil || got.Snapshots != 0 {
		t.Errorf("a submission may be on its way: %+v, %v", got, err)
	}
}

func TestPruneTargets(t *testing.T) {
	h, p, _, _ := pruneHouse(t)
	p.freed = []backends.Freed{
		{Kind: backends.PruneInputs, Count: 2, Bytes: 10},
		{Kind: backends.PruneEnvironments, Count: 1, Bytes: 5, Names: []string{"sha256:e"}},
		{Kind: backends.PruneSnapshots},
	}
	p.err = &backends.Failure{Outcome: run.OutcomeTargetUnreachable, Err: errors.New("the line is cut")}
	got, err := h.c.Prune(t.Context(), PruneOptions{EnvironmentsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []PrunedPlace{{
		Target: "local", Freed: []backends.Freed{p.freed[1], p.freed[0]}, Bytes: 15, Error: "the line is cut", Unreachable: true,
	}}
	if diff := cmp.Diff(want, got.Places); diff != "" || got.Bytes != 15 || len(got.Environments) != 1 {
		t.Errorf("%+v\n%s", got, diff)
	}
	if diff := cmp.Diff([]backends.PruneKind{backends.PruneEnvironments, backends.PruneImages}, p.asked[0].Kinds); diff != "" {
		t.Error(diff)
	}
	if _, err := h.c.Prune(t.Context(), PruneOptions{Target: "nowhere"}); err == nil {
		t.Error("an unknown target is fine")
	}
}
