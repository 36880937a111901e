package controller

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

// An attempt that nobody follows on its target any more, and that goes on, is
// followed again: it is no other attempt, and its end counts.
func TestAnAttemptAdriftIsFollowedAgain(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	h.target.mu.Lock()
	h.target.attempts[attempt(r, 1)].o.Adrift = true
	h.target.mu.Unlock()
	h.target.changed(attempt(r, 1))
	h.eventually("resume", func() bool {
		h.target.mu.Lock()
		defer h.target.mu.Unlock()
		return !h.target.attempts[attempt(r, 1)].o.Adrift
	})
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "x\n")
	h.until(r.ID, run.Completed)
	h.target.mu.Lock()
	defer h.target.mu.Unlock()
	if diff := cmp.Diff([]backends.Ref{attempt(r, 1), attempt(r, 1)}, h.target.resumes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[backends.Ref]int{attempt(r, 1): 1}, h.target.starts); diff != "" {
		t.Error(diff)
	}
}

// What an engine calls an attempt is told once, also by an agent that was started
// anew.
func TestAnEnginesNameIsTold(t *testing.T) {
	h := newHouse(t, newFakeTarget(1))
	r := h.submit(nil)
	h.until(r.ID, run.Running)
	const story = "application_1_2, http://rm:8088/proxy/application_1_2/"
	h.target.mu.Lock()
	h.target.attempts[attempt(r, 1)].o.Story = story
	h.target.mu.Unlock()
	for range 3 {
		h.target.changed(attempt(r, 1))
	}
	told := func() int {
		events, err := h.c.Events(t.Context(), r.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(events, func(e run.Event) bool { return e.Why != story || e.Attempt != 1 }))
	}
	h.eventually("story", func() bool { return told() > 0 })
	h.restart()
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "x\n")
	h.until(r.ID, run.Completed)
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
}
