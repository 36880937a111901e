package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/snapshot"
)

// Data is taken as it is, whatever it looks like; the same directory as a
// source is another picture, before and after.
func TestWhole(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".gitignore", "kept", "left.csv", ".git/HEAD", "__pycache__/x"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("*.csv\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store, err := snapshot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	source := []string{".gitignore", "kept"}
	whole := []string{".git", ".git/HEAD", ".gitignore", "__pycache__", "__pycache__/x", "kept", "left.csv"}
	for i, want := range [][]string{source, whole, source, whole} {
		taken, err := store.Take(t.Context(), dir, snapshot.Options{Whole: i%2 == 1})
		if err != nil {
			t.Fatal(err)
		}
		m, err := store.Manifest(t.Context(), taken.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range m.Entries {
			got = append(got, e.Path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}
