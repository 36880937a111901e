package workcopy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// bench is a machine with a store, a shelf and room for working directories.
type bench struct {
	t     *testing.T
	root  string
	store *snapshot.Store
	shelf *workcopy.Shelf
	src   string
}

// enough files for their copies to be kept.
const files = 600

func newBench(t *testing.T) *bench {
	t.Helper()
	root := t.TempDir()
	store, err := snapshot.Open(filepath.Join(root, "objects"))
	must(t, err)
	b := &bench{t: t, root: root, store: store, src: filepath.Join(root, "src")}
	b.shelf = workcopy.Open(filepath.Join(root, workcopy.Dir), store, "this boot")
	for i := range files {
		b.write(fmt.Sprintf("d%d/f%d", i%9, i), fmt.Sprint(i))
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file of the source.
func (b *bench) write(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.src, name)
	must(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(b.t, os.WriteFile(path, []byte(content), 0o644))
}

func (b *bench) take() snapshot.ID {
	b.t.Helper()
	taken, err := b.store.Take(b.t.Context(), b.src, snapshot.Options{})
	must(b.t, err)
	return taken.ID
}

// place makes room for a working directory.
func (b *bench) place() workcopy.Place {
	b.t.Helper()
	dir, err := os.MkdirTemp(b.root, "attempt-")
	must(b.t, err)
	return workcopy.Place{Dir: filepath.Join(dir, "work"), List: filepath.Join(dir, "list"), Unit: filepath.Join(dir, "unit")}
}

func (b *bench) fill(p workcopy.Place, id snapshot.ID) {
	b.t.Helper()
	must(b.t, b.shelf.Fill(b.t.Context(), id, p, nil))
	if diff := cmp.Diff(read(b.t, b.src), read(b.t, p.Dir)); diff != "" {
		b.t.Errorf("the working directory (-want +got):\n%s", diff)
	}
}

func (b *bench) park(p workcopy.Place, want bool) {
	b.t.Helper()
	kept, err := b.shelf.Park(b.t.Context(), p)
	must(b.t, err)
	if kept != want {
		b.t.Errorf("kept is %v, want %v", kept, want)
	}
}

// shelved is how many copies are on the shelf.
func (b *bench) shelved() int {
	b.t.Helper()
	offers, err := b.shelf.Offers()
	must(b.t, err)
	return len(offers)
}

// read gives everything in dir: path -> mode and content.
func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			content, err = os.ReadFile(path)
		}
		rel, relErr := filepath.Rel(dir, path)
		all[rel] = fmt.Sprintf("%v %s", info.Mode(), content)
		return errors.Join(err, relErr)
	}))
	return all
}

// inode says which of the files made a file is.
func inode(t testing.TB, name string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	return info
}

func TestCopyIsUsedAgain(t *testing.T) {
	b := newBench(t)
	first := b.place()
	b.fill(first, b.take())
	unchanged := inode(t, first.Dir+"/d1/f1")
	must(t, os.WriteFile(first.Dir+"/d3/f3", []byte("the script's"), 0o600))
	must(t, os.MkdirAll(first.Dir+"/outputs/x", 0o700))
	b.park(first, true)
	if _, err := os.Lstat(first.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	b.write("d2/f2", "another")
	b.write("new/one", "new")
	second := b.place()
	b.fill(second, b.take())
	if !os.SameFile(unchanged, inode(t, second.Dir+"/d1/f1")) {
		t.Error("what did not change was made anew")
	}
	if n := b.shelved(); n != 0 {
		t.Errorf("%d copies are on the shelf, want none", n)
	}
	if left, err := filepath.Glob(second.Unit + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	b.park(second, true)
}

func TestCopyWaitsUnharmed(t *testing.T) {
	b := newBench(t)
	id := b.take()
	p := b.place()
	b.fill(p, id)
	b.park(p, true)
	there, err := filepath.Glob(filepath.Join(b.root, workcopy.Dir, "*", "tree"))
	must(t, err)
	must(t, os.WriteFile(there[0]+"/d1/f1", []byte("harm"), 0o644))
	must(t, os.Remove(there[0]+"/d2/f2"))
	b.fill(b.place(), id)
}

func TestOneTakesACopy(t *testing.T) {
	b := newBench(t)
	id := b.take()
	p := b.place()
	b.fill(p, id)
	mark := inode(t, p.Dir+"/d1/f1")
	b.park(p, true)
	const takers = 6
	places := make([]workcopy.Place, takers)
	for i := range places {
		places[i] = b.place()
	}
	var wg sync.WaitGroup
	for _, p := range places {
		wg.Go(func() {
			if err := b.shelf.Fill(t.Context(), id, p, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	have := 0
	for _, p := range places {
		if diff := cmp.Diff(read(t, b.src), read(t, p.Dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Dir, diff)
		}
		if os.SameFile(mark, inode(t, p.Dir+"/d1/f1")) {
			have++
		}
	}
	if have != 1 {
		t.Errorf("%d have the copy, want one", have)
	}
}

func TestWhatIsNotKept(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, b *bench, p workcopy.Place)
	}{
		{"no list", func(t *testing.T, _ *bench, p workcopy.Place) { must(t, os.Remove(p.List)) }},
		{"list cut", func(t *testing.T, _ *bench, p workcopy.Place) { must(t, os.Truncate(p.List, 1000)) }},
		{"after a boot", func(_ *testing.T, b *bench, _ workcopy.Place) {
			b.shelf = workcopy.Open(filepath.Join(b.root, workcopy.Dir), b.store, "another boot")
		}},
		{"most of it gone", func(t *testing.T, _ *bench, p workcopy.Place) {
			for i := range 6 {
				must(t, os.RemoveAll(fmt.Sprintf("%s/d%d", p.Dir, i)))
			}
		}},
		{"the directory itself changed", func(t *testing.T, _ *bench, p workcopy.Place) { must(t, os.Chmod(p.Dir, 0o700)) }},
		{"snapshot gone", func(t *testing.T, b *bench, _ workcopy.Place) {
			must(t, b.store.Remove(t.Context(), b.take()))
		}},
		{"a process works in it", func(t *testing.T, _ *bench, p workcopy.Place) {
			cmd := exec.Command("sleep", "600")
			cmd.Dir = p.Dir + "/d1"
			must(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		}},
		{"a process has a file open", func(t *testing.T, _ *bench, p workcopy.Place) {
			f, err := os.OpenFile(p.Dir+"/d1/f1", os.O_WRONLY, 0)
			must(t, err)
			t.Cleanup(func() { _ = f.Close() })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			p := b.place()
			b.fill(p, b.take())
			c.spoil(t, b, p)
			b.park(p, false)
			if n := b.shelved(); n != 0 {
				t.Errorf("%d copies are on the shelf", n)
			}
		})
	}
}

func TestSmallOnesAreNotKept(t *testing.T) {
	b := newBench(t)
	must(t, os.RemoveAll(b.src))
	b.write("train.py", "print(1)")
	p := b.place()
	b.fill(p, b.take())
	b.park(p, false)
}

func TestMemoryIsNotTrusted(t *testing.T) {
	const shm = "/dev/shm"
	dir, err := os.MkdirTemp(shm, "runner-test-")
	if err != nil {
		t.Skipf("no %s: %v", shm, err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := newBench(t)
	p := workcopy.Place{Dir: dir + "/work", List: dir + "/list", Unit: dir + "/unit"}
	b.fill(p, b.take())
	b.park(p, false)
}

func TestFailedFillPutsTheCopyBack(t *testing.T) {
	b := newBench(t)
	first := b.take()
	p := b.place()
	b.fill(p, first)
	mark := inode(t, p.Dir+"/d1/f1")
	b.park(p, true)
	m, err := b.store.Manifest(t.Context(), first)
	must(t, err)
	cut := errors.New("the line is cut")
	err = b.shelf.Carry(t.Context(), &workcopy.Filling{
		Manifest: m, Base: first, Place: b.place(),
		Fetch: func(context.Context, *snapshot.Renewal) error { return cut },
	})
	if !errors.Is(err, cut) {
		t.Fatalf("error %v, want %v", err, cut)
	}
	again := b.place()
	b.fill(again, first)
	if !os.SameFile(mark, inode(t, again.Dir+"/d1/f1")) {
		t.Error("the copy was not put back")
	}
}

// TestParkIsCut kills a parking, in effect, after each of its steps: whatever is
// there then is removed or right.
func TestParkIsCut(t *testing.T) {
	steps := map[string]func(p workcopy.Place) error{
		"list written": func(p workcopy.Place) error { return os.WriteFile(p.List+".new", []byte("half"), 0o600) },
		"unit made":    func(p workcopy.Place) error { return os.Mkdir(p.Unit, 0o700) },
		"list in the unit": func(p workcopy.Place) error {
			return errors.Join(os.Mkdir(p.Unit, 0o700), os.Rename(p.List, p.Unit+"/list"))
		},
		"directory in it too": func(p workcopy.Place) error {
			return errors.Join(os.Mkdir(p.Unit, 0o700), os.Rename(p.List, p.Unit+"/list"), os.Rename(p.Dir, p.Unit+"/tree"))
		},
	}
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.take()
			p := b.place()
			b.fill(p, id)
			must(t, steps[name](p))
			if _, err := b.shelf.Park(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{p.Dir, p.List, p.List + ".new", p.Unit} { // as the release does
				must(t, os.RemoveAll(name))
			}
			b.fill(b.place(), id)
		})
	}
}

func TestShelfIsPruned(t *testing.T) {
	b := newBench(t)
	id := b.take()
	const many = 10
	places := make([]workcopy.Place, many)
	for i := range places {
		places[i] = b.place()
		b.fill(places[i], id)
	}
	for _, p := range places {
		b.park(p, true)
	}
	const most = 8
	if n := b.shelved(); n != most {
		t.Errorf("%d copies are kept, want %d", n, most)
	}
	half := filepath.Join(b.root, workcopy.Dir, "something.gone")
	must(t, os.MkdirAll(half+"/tree", 0o700))
	would, err := b.shelf.Prune(t.Context(), workcopy.Policy{Before: time.Now().Add(time.Minute), DryRun: true})
	must(t, err)
	if would.Copies != most || would.Bytes == 0 || b.shelved() != most {
		t.Errorf("a dry run says %+v and leaves %d", would, b.shelved())
	}
	did, err := b.shelf.Prune(t.Context(), workcopy.Policy{Before: time.Now().Add(time.Minute)})
	must(t, err)
	if diff := cmp.Diff(would, did); diff != "" {
		t.Errorf("what was said and done (-said +done):\n%s", diff)
	}
	left, err := os.ReadDir(filepath.Join(b.root, workcopy.Dir))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	b.fill(b.place(), id)
}
