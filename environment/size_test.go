package environment_test

import (
	"testing"

	"github.com/runnerml/runner/environment"
	"pgregory.net/rapid"
)

func TestFormatSize(t *testing.T) {
	for size, want := range map[int64]string{0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1000: "1KB", 4 << 30: "4GiB", 3 << 29: "1536MiB", 500_000_000: "500MB"} {
		if got := environment.FormatSize(size); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Min(0).Draw(t, "size")
		if got, err := environment.ParseSize(environment.FormatSize(size)); err != nil || got != size {
			t.Fatalf("%d: %s gives %d, %v", size, environment.FormatSize(size), got, err)
		}
	})
}
