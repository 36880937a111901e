package onhost_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// unpacking is a store here, and a machine's root.
type unpacking struct {
	t    *testing.T
	src  string
	root string
	*onhost.Unpacker
}

func newUnpacking(t *testing.T) *unpacking {
	t.Helper()
	store, err := snapshot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u := &unpacking{t: t, src: t.TempDir(), root: t.TempDir()}
	u.Unpacker = &onhost.Unpacker{
		Client: client(t), Store: store, Dir: filepath.Join(u.root, "objects"), Shelf: filepath.Join(u.root, workcopy.Dir),
	}
	const enough = 600 // for its working copies to be kept
	for i := range enough {
		u.write(fmt.Sprintf("d%d/f%d", i%7, i), fmt.Sprint(i))
	}
	u.write("train.py", "print()\n")
	return u
}

func (u *unpacking) write(name, content string) {
	u.t.Helper()
	name = filepath.Join(u.src, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// fill makes an attempt's working directory and gives it.
func (u *unpacking) fill(attempt string) (workcopy.Place, attemptdir.Finishing) {
	u.t.Helper()
	taken, err := u.Store.Take(u.t.Context(), u.src, snapshot.Options{})
	if err != nil {
		u.t.Fatal(err)
	}
	dir := filepath.Join(u.root, "runs", attempt)
	p := workcopy.Place{Dir: filepath.Join(dir, "half"), List: filepath.Join(dir, "list"), Unit: filepath.Join(dir, "unit")}
	f := attemptdir.Finishing{Work: filepath.Join(dir, "work"), Script: "train.py", Make: []string{"outputs"}, Head: 5}
	found, err := u.Fill(u.t.Context(), taken.ID, p, f, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	if !found.OK() || string(found.Head) != "print" {
		u.t.Fatalf("it found %+v", found)
	}
	p.Dir = f.Work
	return p, f
}

// park ends an attempt, whose working directory is kept for others.
func (u *unpacking) park(p workcopy.Place) {
	u.t.Helper()
	self, err := os.Executable()
	if err != nil {
		u.t.Fatal(err)
	}
	here := host.NewHere(u.root)
	defer func() { _ = here.Close() }() // nothing was spawned
	there := onhost.NewHost(away{here}, self)
	defer func() { _ = there.Close() }()
	done, err := there.CloseAttempt(u.t.Context(), attemptdir.Closing{
		Dir: filepath.Dir(p.Dir), Park: &attemptdir.Parking{Work: p.Dir, List: p.List, Unit: p.Unit}, Names: []string{p.Dir, p.List},
	})
	if err != nil || done.Stuck != "" {
		u.t.Fatalf("closed %+v, %v", done, err)
	}
	kept, err := os.ReadDir(u.Shelf)
	if _, there := os.Stat(filepath.Dir(p.Dir)); err != nil || len(kept) != 1 || there == nil {
		u.t.Fatalf("kept %v, %v", kept, err)
	}
}

// content reads a file of a working directory.
func (u *unpacking) content(p workcopy.Place, name string) string {
	u.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.Dir, name))
	if err != nil {
		u.t.Fatal(err)
	}
	return string(data)
}

// TestFill makes a working directory again of one that was given back, as sent
// and asked for a second time because the first answer was lost.
func TestFill(t *testing.T) {
	u := newUnpacking(t)
	first, _ := u.fill("1")
	mark, err := os.Stat(filepath.Join(first.Dir, "d1/f1"))
	if err != nil {
		t.Fatal(err)
	}
	u.park(first)
	u.write("changed", "one")
	second, f := u.fill("2")
	again, err := os.Stat(filepath.Join(second.Dir, "d1/f1"))
	if err != nil || !os.SameFile(mark, again) {
		t.Errorf("it was made anew (%v)", err)
	}
	if diff := cmp.Diff("one", u.content(second, "changed")); diff != "" {
		t.Error(diff)
	}
	// The script is at work when it is asked again: nothing of it is touched.
	if err := os.WriteFile(filepath.Join(f.Work, "changed"), []byte("by the script"), 0o600); err != nil {
		t.Fatal(err)
	}
	second, _ = u.fill("2")
	if diff := cmp.Diff("by the script", u.content(second, "changed")); diff != "" {
		t.Error(diff)
	}
}
