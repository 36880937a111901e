package run_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/run"
)

var idForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*-[0-9a-hjkmnp-tv-z]{10}$`)

func TestSlug(t *testing.T) {
	tests := []struct{ experiment, want string }{
		{"iris", "iris"},
		{"My Iris_Experiment (2)", "my-iris-experiment-2"},
		{"--a--b--", "a-b"},
		{"", "run"},
		{"日本", "run"},
		{"été 1", "t-1"},
		{"../../etc", "etc"},
		{strings.Repeat("long name ", 9), "long-name-long-name-long"},
		{"exactly-twentyfour-chars-and", "exactly-twentyfour-chars"},
		{"twenty-three-characters--x", "twenty-three-characters"},
	}
	for _, tt := range tests {
		if got := run.Slug(tt.experiment); got != tt.want {
			t.Errorf("Slug(%q) = %q, want %q", tt.experiment, got, tt.want)
		}
	}
}

func TestNewID(t *testing.T) {
	at := time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		at      time.Time
		entropy []byte
		want    string
	}{
		{"the epoch", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), []byte{0, 0}, "iris-0000000000"},
		{"before it", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), []byte{0, 0}, "iris-0000000000"},
		{"all bits of entropy that count", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), []byte{0xff, 0xff}, "iris-00000000fz"},
		{"a millisecond later", time.Date(2020, 1, 1, 0, 0, 0, 1e6, time.UTC), []byte{0, 0}, "iris-00000000g0"},
		{"after the last", time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), []byte{1, 0xff}, "iris-zzzzzzzzzz"},
		{"no entropy", at, nil, "iris-" + suffixOf(at)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := run.NewID("iris", tt.at, bytes.NewReader(tt.entropy)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// suffixOf is the number of milliseconds, shifted, in base 32 the slow way.
func suffixOf(at time.Time) string {
	n := (at.UnixMilli() - time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()) * 512
	s := ""
	for range 10 {
		s = string("0123456789abcdefghjkmnpqrstvwxyz"[n%32]) + s
		n /= 32
	}
	return s
}

func TestIDsSortByTime(t *testing.T) {
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		experiment := rapid.String().Draw(t, "experiment")
		id := func(ms int64) string {
			entropy := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "entropy")
			return run.NewID(experiment, base.Add(time.Duration(ms)*time.Millisecond), bytes.NewReader(entropy))
		}
		first := rapid.Int64Range(0, 1e12).Draw(t, "first")
		later := first + rapid.Int64Range(1, 1e12).Draw(t, "later")
		a, b := id(first), id(later)
		if !idForm.MatchString(a) || !idForm.MatchString(b) {
			t.Fatalf("%q, %q", a, b)
		}
		if a >= b {
			t.Fatalf("%s of an earlier moment sorts after %s", a, b)
		}
		next, err := run.NextID(a)
		if err != nil || next <= a || next > b {
			t.Fatalf("after %s comes %s, %v; not after %s", a, next, err, b)
		}
	})
}

func TestNextID(t *testing.T) {
	tests := []struct{ id, want string }{
		{"iris-0000000000", "iris-0000000001"},
		{"a-b-000000000z", "a-b-0000000010"},
		{"iris-zzzzzzzzzz", "iris-0000000000"},
		{"iris-000000000i", ""}, // no digit
		{"iris-000000000", ""},
		{"0000000000", ""},
		{"-0000000000", ""},
		{"iris_0000000000", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, err := run.NextID(tt.id)
		if got != tt.want || (tt.want == "") != errors.Is(err, run.ErrBadID) {
			t.Errorf("NextID(%q) = %q, %v; want %q", tt.id, got, err, tt.want)
		}
	}
}
