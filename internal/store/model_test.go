package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// model is what the store ought to hold: runs in the order of submission.
type model struct {
	runs     []run.Run
	events   map[string][]run.Event
	requests map[string]string
	sealed   map[string]map[string][]byte
	touched  string // by the last action
}

func (m *model) find(id string) *run.Run {
	for i := range m.runs {
		if m.runs[i].ID == id {
			return &m.runs[i]
		}
	}
	return nil
}

// TestAgainstAModel does random things to the store and to the model, opens
// the store anew now and then, and wants both to be the same after each.
func TestAgainstAModel(t *testing.T) {
	dir := memoryDir(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n, ".db"))
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(s.Close(), os.Remove(path)); err != nil {
				t.Error(err)
			}
		}()
		m := &model{events: map[string][]run.Event{}, requests: map[string]string{}, sealed: map[string]map[string][]byte{}}
		t.Repeat(map[string]func(*rapid.T){
			"":       func(t *rapid.T) { m.same(t, s) },
			"create": func(t *rapid.T) { m.create(t, s) },
			"update": func(t *rapid.T) { m.update(t, s) },
			"cancel": func(t *rapid.T) { m.cancel(t, s) },
			"delete": func(t *rapid.T) { m.delete(t, s) },
			"reopen": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = store.Open(t.Context(), path); err != nil {
					t.Fatal(err)
				}
				m.touched = ""
			},
		})
	})
}

// memoryDir is a directory on a disk in memory where there is one: thousands
// of commits are not about the disk here.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "runner-store-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func genTime(t *rapid.T) time.Time {
	return start.Add(time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(t, "ns")))
}

func (m *model) create(t *rapid.T, s *store.Store) {
	r := newRun(fmt.Sprintf("iris-%010d", rapid.IntRange(0, 9).Draw(t, "id")))
	r.Experiment = rapid.SampledFrom([]string{"iris", "other"}).Draw(t, "experiment")
	r.Message = rapid.String().Draw(t, "message")
	r.Tags = rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "tags")
	r.CreatedAt = genTime(t)
	request := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "request")
	sealed := map[string][]byte{"S": rapid.SliceOf(rapid.Byte()).Draw(t, "sealed")}
	asked := r.ID
	got, created, err := s.CreateRun(t.Context(), r, request, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if first := m.requests[request]; request != "" && first != "" {
		if created || got.ID != first {
			t.Fatalf("request %s gave %s first, now %s (created %v)", request, first, got.ID, created)
		}
		return
	}
	if !created || m.find(got.ID) != nil || m.find(asked) == nil && got.ID != asked {
		t.Fatalf("asked for %s, got %s, created %v", asked, got.ID, created)
	}
	want := *r
	want.ID = got.ID
	m.touched = got.ID
	m.runs = append(m.runs, want)
	m.events[got.ID] = []run.Event{{Seq: 1, Time: r.CreatedAt, To: run.Queued, Why: "submitted"}}
	m.sealed[got.ID] = sealed
	if request != "" {
		m.requests[request] = got.ID
	}
}

// genChange is a change that may or may not be lawful.
func genChange(t *rapid.T) (change func(*run.Run) []run.Event) {
	to := rapid.SampledFrom(run.States).Draw(t, "to")
	at := genTime(t)
	words := rapid.String().Draw(t, "words")
	attempt, tell := rapid.Bool().Draw(t, "attempt"), rapid.IntRange(0, 3).Draw(t, "tell") > 0
	outcome := rapid.SampledFrom(append(run.Outcomes(), "")).Draw(t, "outcome")
	exit := rapid.IntRange(-5, 300).Draw(t, "exit")
	return func(r *run.Run) []run.Event {
		from := r.State
		r.State, r.Message = to, words
		if to.Ended() && outcome != "" {
			r.Outcome, r.EndedAt, r.ExitCode = &outcome, &at, &exit
		}
		if attempt {
			if l := r.Last(); l == nil || l.State.Ended() {
				r.Attempts = append(r.Attempts, run.Attempt{Number: len(r.Attempts) + 1})
			}
			l := r.Last()
			l.State, l.Handle, l.GrantedAt, l.Allocation.GPUs = to, words, &at, []string{words}
		}
		if !tell {
			return nil
		}
		return []run.Event{{Time: at, Attempt: len(r.Attempts), From: from, To: to, Why: words}}
	}
}

// allowed is the model's own view of the rules for changes of genChange.
func allowed(was, is run.Run, told bool) bool {
	if was.State != is.State && (!told || run.Check(was.State, is.State) != nil) {
		return false
	}
	if is.State.Ended() && (is.Outcome == nil || is.EndedAt == nil) {
		return false
	}
	for i, a := range is.Attempts {
		switch {
		case i >= len(was.Attempts):
			if a.State != run.Queued && a.State != run.Preparing {
				return false
			}
		case a.State != was.Attempts[i].State && run.Check(was.Attempts[i].State, a.State) != nil:
			return false
		}
	}
	return true
}

func (m *model) update(t *rapid.T, s *store.Store) {
	if len(m.runs) == 0 {
		return
	}
	r := &m.runs[rapid.IntRange(0, len(m.runs)-1).Draw(t, "run")]
	m.touched = r.ID
	change := genChange(t)
	is := *r
	is.Attempts = slices.Clone(r.Attempts)
	events := change(&is)
	got, err := s.Update(t.Context(), r.ID, func(r *run.Run) ([]run.Event, error) { return change(r), nil })
	if !allowed(*r, is, len(events) > 0) {
		var ce *store.ChangeError
		if !errors.As(err, &ce) {
			t.Fatalf("unlawful change from %+v to %+v: %v", *r, is, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if is.State.Ended() && !r.State.Ended() {
		m.sealed[r.ID] = map[string][]byte{}
	}
	*r = is
	for _, e := range events {
		e.Seq = len(m.events[r.ID]) + 1
		m.events[r.ID] = append(m.events[r.ID], e)
	}
	light := is
	light.Config, light.ResolvedEnvironment = nil, nil
	if d := cmp.Diff(light, *got, cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
}

func (m *model) cancel(t *rapid.T, s *store.Store) {
	if len(m.runs) == 0 {
		return
	}
	r := &m.runs[rapid.IntRange(0, len(m.runs)-1).Draw(t, "run")]
	m.touched = r.ID
	at := genTime(t)
	if _, err := s.RequestCancel(t.Context(), r.ID, at); err != nil {
		t.Fatal(err)
	}
	if r.State.Ended() || r.CancelRequestedAt != nil {
		return
	}
	r.CancelRequestedAt = &at
	m.events[r.ID] = append(m.events[r.ID], run.Event{
		Seq: len(m.events[r.ID]) + 1, Time: at, Attempt: len(r.Attempts), From: r.State, To: r.State, Why: "cancel requested",
	})
}

func (m *model) delete(t *rapid.T, s *store.Store) {
	if len(m.runs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.runs)-1).Draw(t, "run")
	id := m.runs[i].ID
	err := s.DeleteRun(t.Context(), id)
	if !m.runs[i].State.Ended() {
		var ne *store.NotEndedError
		if !errors.As(err, &ne) {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.runs, m.touched = slices.Delete(m.runs, i, i+1), ""
	delete(m.events, id)
	delete(m.sealed, id)
	for request, first := range m.requests {
		if first == id {
			delete(m.requests, request)
		}
	}
}

func (m *model) same(t *rapid.T, s *store.Store) {
	got, err := s.List(t.Context(), store.Filter{Specs: true})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(got)
	if d := cmp.Diff(m.runs, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
	active, err := s.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(m.runs), func(r run.Run) bool { return r.State.Ended() })
	if strings.Join(ids(active), " ") != strings.Join(ids(want), " ") {
		t.Fatalf("active %v, want %v", ids(active), ids(want))
	}
	m.sameStory(t, s, m.touched)
}

// sameStory compares what List does not tell of a run; of all runs when the
// store was opened anew.
func (m *model) sameStory(t *rapid.T, s *store.Store, of string) {
	for id, want := range m.events {
		if of != "" && of != id {
			continue
		}
		got, err := s.Events(t.Context(), id, 0)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Fatal(d, err)
		}
		sealed, err := s.Sealed(t.Context(), id)
		if d := cmp.Diff(m.sealed[id], sealed, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Fatal(d, err)
		}
	}
}
