package main

import (
	"testing"

	"github.com/runnerml/runner/internal/run"
)

func TestHintForPutsTheRunWhereAWholeWordSaysSo(t *testing.T) {
	r := &run.Run{ID: "proj-1"}
	for hint, want := range map[string]string{
		"see agent.log in RUNNER_HOME":          "see agent.log in RUNNER_HOME",
		"see what they said: runner logs RUN":   "see what they said: runner logs proj-1",
		"runner show RUN; runner logs RUN, too": "runner show proj-1; runner logs proj-1, too",
	} {
		if got := hintFor(r, hint); got != want {
			t.Errorf("hintFor(%q) = %q, want %q", hint, got, want)
		}
	}
}

func TestMoreLinesLeaveOutWhatTheFirstOneSays(t *testing.T) {
	message := "installing failed: No match for x\n  looking\n  ERROR: No match for x\nhint: check the names"
	if got, want := moreLines(message), "  looking"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
