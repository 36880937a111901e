package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

const patience = 20 * time.Second

func next(t *testing.T, changes <-chan store.Change) store.Change {
	t.Helper()
	select {
	case c, ok := <-changes:
		if !ok {
			t.Fatal("the subscription ended")
		}
		return c
	case <-time.After(patience):
		t.Fatal("no change came")
	}
	return store.Change{}
}

func TestSubscribe(t *testing.T) {
	s := open(t)
	create(t, s, newRun("iris-0000000000"))
	all, cancelAll := s.Subscribe("")
	defer cancelAll()
	one, cancelOne := s.Subscribe("iris-0000000002")
	defer cancelOne()
	for i := range 3 {
		id := create(t, s, newRun(fmt.Sprintf("iris-000000000%d", i+1))).ID
		want := store.Change{RunID: id, Seq: 1, State: run.Queued}
		if d := cmp.Diff(want, next(t, all)); d != "" {
			t.Error(d)
		}
	}
	if d := cmp.Diff(store.Change{RunID: "iris-0000000002", Seq: 1, State: run.Queued}, next(t, one)); d != "" {
		t.Error(d)
	}
	finish(t, s, "iris-0000000002")
	if err := s.DeleteRun(t.Context(), "iris-0000000002"); err != nil {
		t.Fatal(err)
	}
	for c := next(t, one); ; c = next(t, one) {
		if c.Deleted {
			if d := cmp.Diff(store.Change{RunID: "iris-0000000002", Seq: 4, State: run.Completed, Deleted: true}, c); d != "" {
				t.Error(d)
			}
			break
		}
	}
	cancelOne()
	cancelOne()
	for range one { // until it is closed
	}
}

func TestNothingChangedIsNoChange(t *testing.T) {
	s := open(t)
	id := create(t, s, newRun("iris-0000000001")).ID
	changes, cancel := s.Subscribe(id)
	defer cancel()
	update(t, s, id, func(*run.Run) ([]run.Event, error) { return nil, nil })
	update(t, s, id, func(r *run.Run) ([]run.Event, error) { r.Message = "new words"; return nil, nil })
	if d := cmp.Diff(store.Change{RunID: id, Seq: 1, State: run.Queued}, next(t, changes)); d != "" {
		t.Error(d)
	}
	select {
	case c := <-changes:
		t.Errorf("two changes for one: %+v", c)
	default:
	}
}

// TestSlowSubscriber never reads while a thousand changes are made: the writer
// does not wait, and the newest change of each run is there in the end.
func TestSlowSubscriber(t *testing.T) {
	s := open(t)
	slow, cancel := s.Subscribe("")
	defer cancel()
	newest := map[string]int{}
	for i := range 5 {
		id := create(t, s, newRun(fmt.Sprintf("iris-000000000%d", i))).ID
		for range 50 {
			update(t, s, id, func(*run.Run) ([]run.Event, error) { return []run.Event{{Time: start, Why: "x"}}, nil })
		}
		newest[id] = 51
	}
	got := 0
	for len(newest) > 0 {
		c := next(t, slow)
		got++
		if newest[c.RunID] == c.Seq {
			delete(newest, c.RunID)
		}
	}
	if got > 10 {
		t.Errorf("%d changes for 5 runs that nobody read", got)
	}
}

func TestCloseEndsSubscriptions(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir()+"/runner.db")
	if err != nil {
		t.Fatal(err)
	}
	changes, cancel := s.Subscribe("")
	create(t, s, newRun("iris-0000000001")) // unread
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range changes { // until it is closed
	}
	cancel()
}
