package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/artifact"
)

// attemptTree is an attempt that ended and left one of everything.
func attemptTree(t *testing.T) place {
	t.Helper()
	at := place(t.TempDir())
	for name, content := range map[string]string{
		"work/source.py": "s", "work/outputs/model": "m", "work/outputs/deep/er": "d", "work/logs/train.log": "t",
		"work/logs/std_log.txt": "the script's", "work/logs/std_log.script.txt": "the script's too",
		"sup/std_log.txt": "ours", "sup/std_log.idx": "index", "environment.log": "pip said",
	} {
		path := filepath.Join(string(at), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"work/outputs/out": "/etc", "work/logs/out": "../source.py", "work/outputs/in": "deep/er"} {
		if err := os.Symlink(target, filepath.Join(string(at), name)); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

var wantHome = map[string]string{
	"outputs/model": "m", "outputs/deep/er": "d", "outputs/in": "-> deep/er", "logs/train.log": "t",
	"logs/std_log.txt": "ours", "logs/std_log.script.txt": "the script's too", "logs/2.std_log.script.txt": "the script's",
	"logs/environment_log.txt": "pip said",
	"logs/not_collected.txt":   "\"outputs/out\" is a link that leads out, to \"/etc\"\n\"logs/out\" is a link that leads out, to \"../source.py\"\n" + leftThere,
}

// leftThere is what the script left outside.
const leftThere = "\"model.pt\" is outside outputs/ and logs/\n"

func contents(t *testing.T, home *artifact.Directory) map[string]string {
	t.Helper()
	list, err := home.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range list {
		if f.Link != "" {
			all[f.Path] = "-> " + f.Link
			continue
		}
		r, err := home.Open(t.Context(), f.Path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		all[f.Path] = string(data)
	}
	return all
}

var errCut = errors.New("cut")

// cutting is a sink that is cut at its nth call: before it took effect, or
// just after.
type cutting struct {
	*artifact.Directory
	left  int
	after bool
}

func (c *cutting) cut(call func() error) error {
	if c.left--; c.left > 0 {
		return call()
	}
	if c.after {
		if err := call(); err != nil {
			return err
		}
	}
	return errCut
}

func (c *cutting) Adopt(ctx context.Context, name, path string) error {
	return c.cut(func() error { return c.Directory.Adopt(ctx, name, path) })
}

func (c *cutting) Put(ctx context.Context, f artifact.File, r io.Reader) error {
	return c.cut(func() error { return c.Directory.Put(ctx, f, r) })
}

func TestMoveHomeCut(t *testing.T) {
	for _, sameDirectory := range []bool{true, false} {
		for _, after := range []bool{false, true} {
			for n := 1; n <= 3; n++ {
				t.Run(fmt.Sprintf("same=%v after=%v call=%d", sameDirectory, after, n), func(t *testing.T) {
					at := attemptTree(t)
					home := artifact.OpenDirectory(string(at))
					if !sameDirectory {
						home = artifact.OpenDirectory(filepath.Join(t.TempDir(), "home"))
					}
					c := &cutting{Directory: home, left: n, after: after}
					err := moveHome(t.Context(), at, c, c, leftThere)
					if n <= 2 != errors.Is(err, errCut) {
						t.Fatalf("cut at call %d: %v", n, err)
					}
					for range 2 {
						if err := moveHome(t.Context(), at, home, home, leftThere); err != nil {
							t.Fatal(err)
						}
						if diff := cmp.Diff(wantHome, contents(t, home)); diff != "" {
							t.Error(diff)
						}
					}
					if _, err := os.Stat(filepath.Join(at.sup(), "std_log.txt")); err != nil {
						t.Errorf("the log is not with the attempt any more: %v", err)
					}
				})
			}
		}
	}
}

// The states that a kill between two file operations leaves.
func TestMoveHomeBetween(t *testing.T) {
	for name, half := range map[string]func(t *testing.T, at place) error{
		"remarks written, nothing removed": func(_ *testing.T, at place) error {
			return os.WriteFile(filepath.Join(at.work(), "logs/not_collected.txt"), []byte(wantHome["logs/not_collected.txt"]), 0o600)
		},
		"remarks half written": func(_ *testing.T, at place) error {
			return os.WriteFile(filepath.Join(at.work(), "logs/not_collected.txt.half"), []byte("\"outp"), 0o600)
		},
		"remarks written, one removed": func(_ *testing.T, at place) error {
			return errors.Join(
				os.WriteFile(filepath.Join(at.work(), "logs/not_collected.txt"), []byte(wantHome["logs/not_collected.txt"]), 0o600),
				os.Remove(filepath.Join(at.work(), "outputs/out")))
		},
		"the script's log moved aside": func(_ *testing.T, at place) error {
			return os.Rename(filepath.Join(at.work(), "logs/std_log.txt"), filepath.Join(at.work(), "logs/2.std_log.script.txt"))
		},
		"our log linked": func(_ *testing.T, at place) error {
			return errors.Join(
				os.Rename(filepath.Join(at.work(), "logs/std_log.txt"), filepath.Join(at.work(), "logs/2.std_log.script.txt")),
				os.Link(filepath.Join(at.sup(), "std_log.txt"), filepath.Join(at.work(), "logs/std_log.txt")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := attemptTree(t)
			if err := half(t, at); err != nil {
				t.Fatal(err)
			}
			home := artifact.OpenDirectory(string(at))
			if err := moveHome(t.Context(), at, home, home, leftThere); err != nil {
				t.Fatal(err)
			}
			got := contents(t, home)
			delete(got, "logs/not_collected.txt.half")
			if diff := cmp.Diff(wantHome, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
