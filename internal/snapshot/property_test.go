package snapshot_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/snapshot"
)

// TestAnyTreeComesBack takes random trees, changes them, and brings every
// picture back, here and in a store on the other side of a transfer.
func TestAnyTreeComesBack(t *testing.T) {
	name := rapid.Custom(func(r *rapid.T) string {
		b := rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 12).Draw(r, "name")
		n := strings.ReplaceAll(string(b), "/", "_")
		if n == "." || n == ".." || strings.HasSuffix(n, "ignore") {
			return "x"
		}
		return n
	})
	here, there := newStore(t), newStore(t)
	work := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		src, err := os.MkdirTemp(work, "")
		must(t, err)
		defer os.RemoveAll(src)
		dirs := []string{src}
		for range rapid.IntRange(1, 3).Draw(r, "rounds") {
			for range rapid.IntRange(0, 8).Draw(r, "changes") {
				dir := rapid.SampledFrom(dirs).Draw(r, "in")
				path := filepath.Join(dir, name.Draw(r, "name"))
				switch rapid.IntRange(0, 4).Draw(r, "what") {
				case 0:
					if os.Mkdir(path, 0o700|os.FileMode(rapid.IntRange(0, 0o77).Draw(r, "mode"))) == nil {
						dirs = append(dirs, path)
					}
				case 1:
					_ = os.Symlink(name.Draw(r, "target"), path) // fails when the name is taken
				case 2:
					_ = os.Remove(path) // fails when it is not there
				default:
					content := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "content"), rapid.SampledFrom([]int{1, 1, 1, 7, 50_000}).Draw(r, "times"))
					if os.WriteFile(path, content, 0o600) == nil {
						must(t, os.Chmod(path, os.FileMode(rapid.IntRange(0o400, 0o777).Draw(r, "mode"))))
					}
				}
			}
			snap, err := here.Take(t.Context(), src, snapshot.Options{})
			if err != nil {
				r.Fatal(err)
			}
			want := read(t, src)
			same(r, "here", want, unpackIn(t, here, snap.ID, work))
			var stream bytes.Buffer
			m, err := here.Manifest(t.Context(), snap.ID)
			must(t, err)
			missing, err := there.Missing(t.Context(), m)
			must(t, err)
			must(t, here.Export(t.Context(), &stream, snap.ID, snapshot.Whole(missing)))
			id, err := there.Import(t.Context(), &stream)
			must(t, err)
			same(r, "there", want, unpackIn(t, there, id, work))
		}
	})
}

func unpackIn(t testing.TB, s *snapshot.Store, id snapshot.ID, work string) map[string]string {
	t.Helper()
	dst := filepath.Join(work, "out")
	must(t, s.Unpack(t.Context(), id, dst, nil))
	got := read(t, dst)
	must(t, os.RemoveAll(dst))
	return got
}
