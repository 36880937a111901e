package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// TestConcurrent lets many write and read at once, a part of the writes
// failing: no change is lost and none of the failed ones is kept.
func TestConcurrent(t *testing.T) {
	s := open(t)
	const writers, rounds, shared = 30, 20, "iris-0000000000"
	create(t, s, newRun(shared))
	mine := errors.New("mine")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			id := fmt.Sprintf("iris-1%09d", w)
			if _, _, err := s.CreateRun(t.Context(), newRun(id), id, nil); err != nil {
				t.Error(err)
				return
			}
			for i := range rounds {
				_, err := s.Update(t.Context(), shared, func(r *run.Run) ([]run.Event, error) {
					r.Priority++
					return []run.Event{{Time: start, Why: "one more"}}, nil
				})
				if err != nil {
					t.Error(err)
				}
				_, err = s.Update(t.Context(), shared, func(r *run.Run) ([]run.Event, error) {
					r.Priority += 1000
					return []run.Event{{Time: start, Why: "not kept"}}, mine
				})
				if !errors.Is(err, mine) {
					t.Error(err)
				}
				got, err := s.Run(t.Context(), id)
				if err != nil || got.Priority != newRun(id).Priority+i {
					t.Errorf("%s does not read what it wrote: %v", id, err)
				}
				if _, err := s.Update(t.Context(), id, func(r *run.Run) ([]run.Event, error) { r.Priority++; return nil, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Run(t.Context(), shared)
	if want := newRun(shared).Priority + writers*rounds; err != nil || got.Priority != want {
		t.Errorf("priority %d, want %d, %v", got.Priority, want, err)
	}
	events, err := s.Events(t.Context(), shared, 0)
	if err != nil || len(events) != 1+writers*rounds {
		t.Errorf("%d events, %v", len(events), err)
	}
	for i, e := range events {
		if e.Seq != i+1 || e.Why == "not kept" {
			t.Fatalf("event %d is %+v", i+1, e)
		}
	}
}

// TestSameRequestAtOnce: of many submits of one request one makes a run.
func TestSameRequestAtOnce(t *testing.T) {
	s := open(t)
	var created atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, made, err := s.CreateRun(t.Context(), newRun(fmt.Sprintf("iris-%010d", i)), "request", nil)
			if err != nil {
				t.Error(err)
			}
			if made {
				created.Add(1)
			}
		})
	}
	wg.Wait()
	runs, err := s.List(t.Context(), store.Filter{})
	if created.Load() != 1 || len(runs) != 1 || err != nil {
		t.Errorf("%d created, %d there, %v", created.Load(), len(runs), err)
	}
}

// TestTwoProcesses: two stores on one file (an old agent that is on its way
// out) wait for each other.
func TestTwoProcesses(t *testing.T) {
	path := t.TempDir() + "/runner.db"
	stores := []*store.Store{openAt(t, path), openAt(t, path)}
	id := create(t, stores[0], newRun("iris-0000000001")).ID
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			for range 50 {
				if _, err := s.Update(t.Context(), id, func(r *run.Run) ([]run.Event, error) { r.Priority++; return nil, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if r, err := stores[1].Run(t.Context(), id); err != nil || r.Priority != 103 {
		t.Errorf("%+v, %v", r, err)
	}
}
