package snapshot_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/runnerml/runner/internal/snapshot"
)

// TestTakeOnly pictures one file of a directory in which others are at work, as
// many at once do that want the same.
func TestTakeOnly(t *testing.T) {
	t.Parallel()
	dir, alone := t.TempDir(), t.TempDir()
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 8)
	}
	for _, name := range []string{filepath.Join(dir, "data.bin"), filepath.Join(alone, "data.bin")} {
		must(t, os.WriteFile(name, data, 0o644))
	}
	must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("other"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, ".runnerignore"), []byte("data.bin\n"), 0o644))
	s := newStore(t)
	want := take(t, s, alone)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			got, err := s.Take(t.Context(), dir, snapshot.Options{Only: "data.bin", Whole: true})
			if err != nil || got.ID != want.ID || got.Files != 1 {
				t.Errorf("%+v, %v, want %s", got, err, want.ID)
			}
		})
	}
	all.Wait()
	// What is remembered of the file is not taken for the directory.
	whole, err := s.Take(t.Context(), dir, snapshot.Options{Whole: true})
	must(t, err)
	again, err := s.Take(t.Context(), dir, snapshot.Options{Only: "data.bin", Whole: true})
	must(t, err)
	if whole.Files != 3 || again.ID != want.ID {
		t.Errorf("%d files, and then %s; want 3 and %s", whole.Files, again.ID, want.ID)
	}
}
