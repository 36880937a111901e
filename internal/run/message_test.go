package run_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/internal/run"
)

func TestSplitMessage(t *testing.T) {
	for message, want := range map[string][3]string{
		"":                              {},
		"a":                             {"a", "", ""},
		"a\nhint: do b":                 {"a", "", "do b"},
		"a\n  said\n  more\nhint: do b": {"a", "  said\n  more", "do b"},
		"a\n  hint: of a tool":          {"a", "  hint: of a tool", ""},
		"a\nhint: early\nlast":          {"a", "hint: early\nlast", ""},
		"hint: alone":                   {"hint: alone", "", ""},
	} {
		what, more, hint := run.SplitMessage(message)
		if diff := cmp.Diff(want, [3]string{what, more, hint}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", message, diff)
		}
	}
}

func TestSplitHints(t *testing.T) {
	r := &run.Run{Message: "a\n  said\nhint: do b", Attempts: []run.Attempt{{Message: "c\nhint: do d"}, {Message: "e"}}}
	for range 2 { // twice is once
		r.SplitHints()
		want := &run.Run{
			Message: "a\n  said", Hint: "do b", Attempts: []run.Attempt{{Message: "c", Hint: "do d"}, {Message: "e"}},
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
