package supervise

import (
	"strings"
	"testing"
)

func TestTailOffset(t *testing.T) {
	for _, tc := range []struct {
		text string
		tail int
		want string
	}{
		{"a\nb\nc\n", -1, "a\nb\nc\n"},
		{"a\nb\nc\n", 0, ""},
		{"a\nb\nc\n", 1, "c\n"},
		{"a\nb\nc\n", 2, "b\nc\n"},
		{"a\nb\nc", 1, "c"},
		{"a\nb\nc\n", 9, "a\nb\nc\n"},
		{"\n\n", 1, "\n"},
		{"", 3, ""},
		{strings.Repeat("x", 2*tailBlock) + "\nlast\n", 1, "last\n"},
		{"first\n" + strings.Repeat("x", tailBlock-1) + "\n", 1, strings.Repeat("x", tailBlock-1) + "\n"},
	} {
		at, err := TailOffset(strings.NewReader(tc.text), tc.tail)
		if err != nil || tc.text[at:] != tc.want {
			t.Errorf("last %d of %.20q: %.20q, %v", tc.tail, tc.text, tc.text[at:], err)
		}
	}
}
