package snapshot_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/snapshot"
)

// tree describes a directory: a path ending in "/" is a directory, a value
// beginning with "-> " a link, anything else a file's content. A mode comes
// after a "|" in the path: "run.sh|755".
type tree map[string]string

// write makes the tree in dir.
func (tr tree) write(t testing.TB, dir string) {
	t.Helper()
	for spec, content := range tr {
		path, mode, hasMode := splitMode(spec)
		full := filepath.Join(dir, path)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		switch {
		case path[len(path)-1] == '/':
			must(t, os.MkdirAll(full, 0o755))
		case len(content) > 3 && content[:3] == "-> ":
			must(t, os.Symlink(content[3:], full))
			continue
		default:
			must(t, os.WriteFile(full, []byte(content), 0o644))
		}
		if hasMode {
			must(t, os.Chmod(full, mode))
		}
	}
}

func splitMode(spec string) (path string, mode fs.FileMode, ok bool) {
	for i := len(spec) - 1; i >= 0; i-- {
		if spec[i] == '|' {
			if _, err := fmt.Sscanf(spec[i+1:], "%o", &mode); err == nil {
				return spec[:i], mode, true
			}
		}
	}
	return spec, 0, false
}

// read gives everything in dir: path -> kind, mode and content.
func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			found[rel+"/"] = info.Mode().Perm().String()
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			found[rel] = "-> " + target
			return err
		default:
			data, err := os.ReadFile(path)
			found[rel] = info.Mode().String() + " " + string(data)
			return err
		}
		return nil
	}))
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB, dir string) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Open(dir)
	must(t, err)
	return s
}

func newStore(t testing.TB) *snapshot.Store {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "objects"))
}

func take(t testing.TB, s *snapshot.Store, src string) snapshot.Snapshot {
	t.Helper()
	snap, err := s.Take(t.Context(), src, snapshot.Options{})
	must(t, err)
	return snap
}

func unpack(t testing.TB, s *snapshot.Store, id snapshot.ID) map[string]string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "out")
	must(t, s.Unpack(t.Context(), id, dst, nil))
	return read(t, dst)
}

// failer is a testing.TB or a *rapid.T.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

func same(t failer, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
