package controller

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// farStore is a store in another directory that can be down.
type farStore struct {
	artifact.Store
	down atomic.Bool
}

func (s *farStore) Checkpoint(id string) artifact.Folder {
	return farFolder{s.Store.Checkpoint(id), s}
}

type farFolder struct {
	artifact.Folder
	s *farStore
}

var errDown = errors.New("connect: connection refused")

func (s *farStore) Attempt(id string, number int) artifact.Folder {
	return farFolder{s.Store.Attempt(id, number), s}
}

func (f farFolder) Put(ctx context.Context, file artifact.File, r io.Reader) error {
	if f.s.down.Load() {
		return &artifact.UnavailableError{Store: "results", Err: errDown}
	}
	return f.Folder.Put(ctx, file, r)
}

func (f farFolder) List(ctx context.Context) ([]artifact.File, error) {
	if f.s.down.Load() {
		return nil, &artifact.UnavailableError{Store: "results", Err: errDown}
	}
	return f.Folder.List(ctx)
}

func (s *farStore) Delete(ctx context.Context, id string) error {
	if s.down.Load() {
		return &artifact.UnavailableError{Store: "results", Err: errDown}
	}
	return s.Store.Delete(ctx, id)
}

// farHouse has a store "results" for the experiment iris.
func farHouse(t *testing.T) (*house, *farStore) {
	far := &farStore{Store: artifact.OpenHome(t.TempDir())}
	h := &house{artifacts: Artifacts{
		Stores: map[string]artifact.Store{"results": far}, Experiments: map[string]string{"iris": "results"},
	}}
	h.init(t, newFakeTarget(1))
	return h, far
}

func (h *house) standing(id string) (run.State, string) {
	h.t.Helper()
	r, err := h.c.Run(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return r.State, r.Message
}

func (h *house) released() int {
	h.target.mu.Lock()
	defer h.target.mu.Unlock()
	return len(h.target.released)
}

func TestAStoreThatIsDownIsWaitedFor(t *testing.T) {
	for name, outcome := range map[string]run.Outcome{
		"completed": run.OutcomeCompleted, "lost to us": run.OutcomeTargetUnreachable,
	} {
		t.Run(name, func(t *testing.T) {
			h, far := farHouse(t)
			far.down.Store(true)
			r := h.submit(nil)
			h.until(r.ID, run.Running)
			h.target.end(attempt(r, 1), outcome, 0, "one\ntwo\n")
			waits := func() bool {
				state, message := h.standing(r.ID)
				return state == run.Finalizing && strings.Contains(message, "artifact store results") && strings.Contains(message, "connection refused")
			}
			h.eventually("the reason", waits)
			h.close()
			h.open() // another agent goes on
			h.eventually("the reason again", waits)
			if n := h.released(); n != 0 {
				t.Error("released before its outputs were kept")
			}
			far.down.Store(false)
			h.eventually("the end", func() bool { state, _ := h.standing(r.ID); return state.Ended() })
			if n := h.released(); n == 0 {
				t.Error("not released")
			}
			files, err := far.Store.Attempt(r.ID, 1).List(t.Context())
			if err != nil || len(files) != 2 {
				t.Errorf("in the store: %v, %v", files, err)
			}
			left, err := h.c.Outputs(t.Context(), r.ID, 0)
			if err != nil || len(left) != 2 {
				t.Errorf("outputs: %v, %v", left, err)
			}
			log, err := h.c.Logs(t.Context(), r.ID, LogQuery{Tail: 1})
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(log)
			if string(text) != "two\n" || errors.Join(err, log.Close()) != nil {
				t.Errorf("log %q, %v", text, err)
			}
		})
	}
}

func TestACancelEndsTheWaitForAStore(t *testing.T) {
	h, far := farHouse(t)
	far.down.Store(true)
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "x\n")
	h.eventually("the reason", func() bool { _, why := h.standing(r.ID); return strings.Contains(why, "connection refused") })
	if _, err := h.c.Cancel(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	h.ahead.Store(int64(2 * cancelPatience))
	h.until(r.ID, run.Completed)
}

// A run stays in the store that it began with.
func TestWhichStore(t *testing.T) {
	h, _ := farHouse(t)
	storeOf := func(change func(*runconfig.ScriptRunConfig)) string {
		r := h.submit(change)
		got, err := h.c.Run(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got.Config.Outputs.Store
	}
	got := []string{
		storeOf(nil),
		storeOf(func(c *runconfig.ScriptRunConfig) { c.Experiment = "other" }),
		storeOf(func(c *runconfig.ScriptRunConfig) { c.Outputs.Store = HomeStore }),
	}
	if diff := cmp.Diff([]string{"results", "", "home"}, got); diff != "" {
		t.Error(diff)
	}
	cfg := &runconfig.ScriptRunConfig{
		Experiment: "x", Script: "train.py", ComputeTarget: "local", Resources: runconfig.Resources{Nodes: 1, CPUs: 1},
		Outputs: runconfig.Outputs{Store: "resluts"},
	}
	_, _, err := h.c.Submit(t.Context(), Submission{RequestID: "y", Config: cfg, Snapshot: string(h.source)})
	if e, ok := errors.AsType[*InvalidError](err); !ok || e.Where != "outputs.store" || !strings.Contains(e.Hint, "results, home") {
		t.Errorf("a store that is not there: %v", err)
	}
}

func TestPruneOfWhatIsStoredElsewhere(t *testing.T) {
	h, far := farHouse(t)
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "x\n")
	h.until(r.ID, run.Completed)
	h.ahead.Store(int64(1e18))
	far.down.Store(true)
	report, err := h.c.Prune(t.Context(), PruneOptions{})
	if err != nil || len(report.Kept) != 1 || !strings.Contains(report.Kept[0].Why, "connection refused") {
		t.Errorf("while the store is down: %+v, %v", report, err)
	}
	far.down.Store(false)
	if _, err := h.c.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if left, err := far.Runs(t.Context()); err != nil || slices.Contains(left, r.ID) {
		t.Errorf("left there: %q, %v", left, err)
	}
}

func (h *house) saves() int {
	h.target.mu.Lock()
	defer h.target.mu.Unlock()
	return h.target.saves
}

// A lost machine loses what came after the last saving, and the next attempt
// gets the checkpoint directory, once the store can be asked.
func TestLiveUpload(t *testing.T) {
	h, far := farHouse(t)
	r := h.submit(func(c *runconfig.ScriptRunConfig) {
		c.Outputs.Upload, c.Outputs.Every = runconfig.UploadLive, runconfig.Duration(time.Millisecond)
	})
	h.until(r.ID, run.Running)
	h.eventually("two savings", func() bool { return h.saves() >= 2 })
	if files, err := h.c.Outputs(t.Context(), r.ID, 1); err != nil || len(files) != 1 || files[0].Path != "outputs/so-far.txt" {
		t.Errorf("while it runs there is %v, %v", files, err)
	}
	far.down.Store(true)
	h.eventually("the reason", func() bool { _, why := h.standing(r.ID); return strings.Contains(why, "connection refused") })
	far.down.Store(false)
	h.eventually("no reason any more", func() bool { _, why := h.standing(r.ID); return why == "" })
	h.target.mu.Lock()
	h.target.collect = func() error { far.down.Store(true); return nil } // it goes down while the attempt ends
	h.target.mu.Unlock()
	h.target.end(attempt(r, 1), run.OutcomeNodeLost, 1, "")
	h.eventually("the wait for the store", func() bool { _, why := h.standing(r.ID); return strings.Contains(why, "connection refused") })
	h.target.mu.Lock()
	h.target.collect = nil
	h.target.mu.Unlock()
	far.down.Store(false)
	h.eventually("the next attempt", func() bool { return h.target.running(attempt(r, 2)) })
	h.target.mu.Lock()
	restored := slices.Clone(h.target.restored)
	h.target.mu.Unlock()
	if diff := cmp.Diff([]string{"checkpoint/step"}, restored); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	h.target.end(attempt(r, 2), run.OutcomeCompleted, 0, "")
	h.until(r.ID, run.Completed)
	saved := h.saves()
	other := h.submit(nil)
	h.until(other.ID, run.Running)
	h.target.end(attempt(other, 1), run.OutcomeCompleted, 0, "")
	h.until(other.ID, run.Completed)
	if n := h.saves(); n != saved {
		t.Errorf("%d savings of a run that did not ask for it", n-saved)
	}
}
