package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

func TestMain(m *testing.M) {
	if runWriterProcess() {
		return
	}
	goleak.VerifyTestMain(m)
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func open(tb testing.TB) *store.Store {
	tb.Helper()
	return openAt(tb, filepath.Join(tb.TempDir(), "runner.db"))
}

func openAt(tb testing.TB, path string) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func newRun(id string) *run.Run {
	return &run.Run{
		ID: id, Experiment: "iris", DisplayName: "baseline", Target: "local", State: run.Queued,
		CreatedAt: start, Tags: map[string]string{"team": "vision"}, Snapshot: "sha256:aa", Environment: "sha256:bb",
		Priority: 3, Attempts: []run.Attempt{},
		Config: &runconfig.ScriptRunConfig{
			Script: "train.py", Arguments: []string{"--alpha", "0.5"},
			Resources:  runconfig.Resources{Nodes: 1, CPUs: 2, Memory: 1 << 30, GPUs: 1},
			VMPriority: runconfig.LowPriority,
		},
		ResolvedEnvironment: &environment.Resolved{Name: "sk", Kind: environment.Venv, Digest: "sha256:bb"},
	}
}

func create(tb testing.TB, s *store.Store, r *run.Run) *run.Run {
	tb.Helper()
	stored, created, err := s.CreateRun(tb.Context(), r, "", nil)
	if err != nil || !created {
		tb.Fatalf("create %s: created %v, %v", r.ID, created, err)
	}
	return stored
}

func update(tb testing.TB, s *store.Store, id string, f func(*run.Run) ([]run.Event, error)) *run.Run {
	tb.Helper()
	r, err := s.Update(tb.Context(), id, f)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func ptr[T any](v T) *T { return &v }

// step moves a run on, with its event, and ends it when the state is final.
func step(to run.State) func(*run.Run) ([]run.Event, error) {
	return func(r *run.Run) ([]run.Event, error) {
		e := run.Event{Time: start, From: r.State, To: to, Why: "step"}
		r.State = to
		if to.Ended() {
			r.Outcome, r.EndedAt = ptr(run.OutcomeCompleted), ptr(start)
		}
		return []run.Event{e}, nil
	}
}

func finish(tb testing.TB, s *store.Store, id string) {
	tb.Helper()
	update(tb, s, id, step(run.Preparing))
	update(tb, s, id, step(run.Finalizing))
	update(tb, s, id, step(run.Completed))
}

func TestRunComesBackAsStored(t *testing.T) {
	s := open(t)
	want := create(t, s, newRun("iris-01jd8k3v9q"))
	got, err := s.Run(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	full := func(r *run.Run) ([]run.Event, error) {
		r.State, r.StartedAt, r.ExitCode, r.Signal, r.Message = run.Preparing, ptr(start), ptr(139), "SIGSEGV", "m\x00\xff"
		r.Message, r.CancelRequestedAt = "say \"é\" 'q'", ptr(start)
		r.Attempts = append(r.Attempts, run.Attempt{
			Number: 1, State: run.Preparing, Outcome: ptr(run.OutcomePreempted), ExitCode: ptr(0), Signal: "SIGTERM",
			Message: "x", Node: "here", Handle: "h/1", StartedAt: ptr(start), EndedAt: ptr(start), GrantedAt: ptr(start),
			Allocation:      run.Allocation{CPUs: 1.5, Memory: 1 << 40, GPUs: []string{"0", "MIG-x"}},
			StopRequestedAt: ptr(start), StopFor: run.OutcomeCanceled, Collected: true,
		})
		return []run.Event{{Time: start, Attempt: 1, From: run.Queued, To: run.Preparing, Why: "granted"}}, nil
	}
	updated := update(t, s, want.ID, full)
	if got, err = s.Run(t.Context(), want.ID); err != nil {
		t.Fatal(err)
	}
	updated.Config, updated.ResolvedEnvironment = want.Config, want.ResolvedEnvironment
	if d := cmp.Diff(updated, got); d != "" {
		t.Error(d)
	}
	events, err := s.Events(t.Context(), want.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents := []run.Event{
		{Seq: 1, Time: start, To: run.Queued, Why: "submitted"},
		{Seq: 2, Time: start, Attempt: 1, From: run.Queued, To: run.Preparing, Why: "granted"},
	}
	if d := cmp.Diff(wantEvents, events); d != "" {
		t.Error(d)
	}
}

// TestEmptyIsNotNull: what has no tags and attempts yet has empty ones, as
// JSON wants them.
func TestEmptyIsNotNull(t *testing.T) {
	s := open(t)
	r := newRun("iris-0000000001")
	r.Tags, r.Attempts = nil, nil
	stored := create(t, s, r)
	got, err := s.Run(t.Context(), stored.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*run.Run{stored, got} {
		if r.Tags == nil || r.Attempts == nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestRepeatedRequestMakesNoSecondRun(t *testing.T) {
	s := open(t)
	first, created, err := s.CreateRun(t.Context(), newRun("iris-0000000001"), "req", map[string][]byte{"A": []byte("1")})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, created, err := s.CreateRun(t.Context(), newRun("iris-0000000002"), "req", map[string][]byte{"A": []byte("2")})
	if err != nil || created {
		t.Fatal(created, err)
	}
	if d := cmp.Diff(first, again); d != "" {
		t.Error(d)
	}
	sealed, err := s.Sealed(t.Context(), first.ID)
	if d := cmp.Diff(map[string][]byte{"A": []byte("1")}, sealed); d != "" || err != nil {
		t.Error(d, err)
	}
	runs, err := s.List(t.Context(), store.Filter{})
	if err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
}

func TestTakenIDGivesTheNext(t *testing.T) {
	s := open(t)
	create(t, s, newRun("iris-0000000001"))
	create(t, s, newRun("iris-0000000002"))
	third := newRun("iris-0000000001")
	if got := create(t, s, third); got.ID != "iris-0000000003" || third.ID != got.ID {
		t.Error(got.ID, third.ID)
	}
	create(t, s, newRun("odd"))
	if _, _, err := s.CreateRun(t.Context(), newRun("odd"), "", nil); !errors.Is(err, run.ErrBadID) {
		t.Errorf("taken id of another form: %v", err)
	}
}
