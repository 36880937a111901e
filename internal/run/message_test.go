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
