package snapshot_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/snapshot"
)

// noise gives n bytes that do not shrink.
func noise(seed byte, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return string(b)
}

func damage(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, change(data), 0o600))
}

// rot changes a file as a failing disk would: its times stay.
func rot(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	damage(t, path, change)
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

func theOnly(t testing.TB, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("%s: %d files", pattern, len(found))
	}
	return found[0]
}

func TestCorruptionIsFoundAndHealed(t *testing.T) {
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	tests := map[string]struct {
		where  string
		change func([]byte) []byte // nil: the file is removed
		object string
	}{
		"blob":              {"packs/*", flip(100), "blob sha256:"},
		"index":             {"packs/*", flip(-100), "pack "},
		"trailer":           {"packs/*", flip(-1), "pack "},
		"pack cut":          {"packs/*", func(b []byte) []byte { return b[:len(b)/2] }, "pack "},
		"pack empty":        {"packs/*", func([]byte) []byte { return nil }, "pack "},
		"pack gone":         {"packs/*", nil, "blob sha256:"},
		"manifest":          {"manifests/*", flip(20), "manifest sha256:"},
		"manifest cut":      {"manifests/*", func(b []byte) []byte { return b[:10] }, "manifest sha256:"},
		"manifest empty":    {"manifests/*", func([]byte) []byte { return nil }, "manifest sha256:"},
		"manifest of zeros": {"manifests/*", func(b []byte) []byte { return make([]byte, len(b)) }, "manifest sha256:"},
	}
	for name, tt := range tests {
		for _, how := range []string{"written to", "rotten"} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				src := t.TempDir()
				tree{"a": noise(1, 5000), "b": strings.Repeat("b", 5000), "c": "c"}.write(t, src)
				dir := filepath.Join(t.TempDir(), "objects")
				s := openStore(t, dir)
				snap := take(t, s, src)
				waitUntilReused(t, s, src, 3)
				path := theOnly(t, filepath.Join(dir, tt.where))
				switch {
				case tt.change == nil:
					must(t, os.Remove(path))
				case how == "rotten":
					rot(t, path, tt.change)
				default:
					damage(t, path, tt.change)
				}

				dst := filepath.Join(t.TempDir(), "out")
				err := openStore(t, dir).Unpack(t.Context(), snap.ID, dst, nil)
				var corrupt *snapshot.CorruptError
				if !errors.As(err, &corrupt) || !strings.HasPrefix(corrupt.Object, tt.object) {
					t.Fatalf("unpack: %v, want a corrupt %s", err, tt.object)
				}
				if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a half unpacked directory is left")
				}
				again := take(t, openStore(t, dir), src)
				same(t, "ID", snap.ID, again.ID)
				same(t, "unpacked", read(t, src), unpack(t, openStore(t, dir), snap.ID))
				prune(t, openStore(t, dir), keepAll, false)
				same(t, "unpacked after prune", read(t, src), unpack(t, openStore(t, dir), snap.ID))
			})
		}
	}
}

// TestTakeAloneHeals: what was written to shows in the pack's seal, without
// anybody having unpacked it.
func TestTakeAloneHeals(t *testing.T) {
	src := t.TempDir()
	tree{"a": noise(1, 5000)}.write(t, src)
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	snap := take(t, s, src)
	waitUntilReused(t, s, src, 1)
	damage(t, theOnly(t, filepath.Join(dir, "packs/*")), func(b []byte) []byte { b[50] ^= 1; return b })
	take(t, s, src)
	same(t, "unpacked", read(t, src), unpack(t, s, snap.ID))
}

func TestCopiedStoreIsGood(t *testing.T) {
	src := t.TempDir()
	tree{"a": noise(1, 5000)}.write(t, src)
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	snap := take(t, s, src)
	waitUntilReused(t, s, src, 1)
	damage(t, theOnly(t, filepath.Join(dir, "packs/*")), func(b []byte) []byte { return b }) // new times only
	again := take(t, s, src)
	same(t, "second picture", snapshot.Snapshot{ID: snap.ID, Totals: snap.Totals, Reused: 1}, again)
	same(t, "packs", 1, countFiles(t, filepath.Join(dir, "packs")))
}

func TestCacheDamageOnlyCostsTime(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-7] },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			src := t.TempDir()
			tree{"a": "1", "d/b": "2"}.write(t, src)
			dir := filepath.Join(t.TempDir(), "objects")
			s := openStore(t, dir)
			snap := take(t, s, src)
			waitUntilReused(t, s, src, 2)
			damage(t, theOnly(t, filepath.Join(dir, "sources/*")), change)
			again := take(t, s, src)
			same(t, "ID", snap.ID, again.ID)
			same(t, "reused", 0, again.Reused)
		})
	}
}
