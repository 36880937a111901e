package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Renewal makes a directory hold a snapshot, and nothing else, from what it
// holds. What is in it is known by its times and its inode, as files of a
// source are: whoever changed it, even by changing it back, has left a trace.
type Renewal struct {
	s     *Store
	m     *Manifest
	dir   string
	stats []fileStat // of the manifest's entries: of what stays

	remove []string // what goes, a directory with all that is in it
	create []int    // entries that are not there
	open   []int    // directories that stay, whose mode must be set in the end
	fresh  bool     // the directory was empty
	made   bool     // and was not there
}

// ErrStrange is a directory that cannot be renewed, because of what was done to
// it itself: remove it and begin with none.
var ErrStrange = errors.New("the directory is not what it was")

// Renew looks at dir, which held what was says, and finds what must be done to
// make it hold m. Nobody else may be at work in it. Without was it must be empty
// or absent: ErrNotEmpty otherwise. What m lists was checked by Manifest or
// UnmarshalBinary.
func (s *Store) Renew(ctx context.Context, dir string, was *Copy, m *Manifest) (*Renewal, error) {
	if was != nil {
		l, err := was.Look(ctx, dir)
		if err != nil {
			return nil, err
		}
		return s.RenewLooked(l, m), nil
	}
	made, err := emptyDir(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack snapshot: %w", err)
	}
	r := s.newRenewal(dir, m)
	r.fresh, r.made = true, made
	r.compare(&dirNode{}, "")
	return r, nil
}

// RenewLooked is Renew of a directory that was looked at.
func (s *Store) RenewLooked(l *Looked, m *Manifest) *Renewal {
	r := s.newRenewal(l.dir, m)
	r.compare(l.have, l.trait)
	return r
}

func (s *Store) newRenewal(dir string, m *Manifest) *Renewal {
	return &Renewal{s: s, m: m, dir: dir, stats: make([]fileStat, len(m.Entries))}
}

// Looked is what was found in a directory that held what a Copy says.
type Looked struct {
	dir   string
	have  *dirNode
	trait string
}

// Look looks at dir before it is known what it is to hold. From now on nobody
// else may be at work in it.
func (c *Copy) Look(ctx context.Context, dir string) (*Looked, error) {
	have, err := c.look(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("look at working copy: %w", err)
	}
	return &Looked{dir, have, c.trait}, nil
}

// look lists what is in dir: as known what is as it was.
func (c *Copy) look(ctx context.Context, dir string) (*dirNode, error) {
	var root fileStat
	if err := root.lstat(dir); err != nil {
		return nil, err
	}
	w := &walker{root: dir, whole: true, copied: true, cache: &sourceCache{dirs: c.dirs}}
	tree, err := w.walk(ctx)
	if err != nil {
		return nil, err
	}
	if root.mode != c.mode || tree.trait != c.trait {
		return nil, ErrStrange
	}
	return tree, c.readRecent(ctx, dir, tree)
}

// readRecent reads the files whose times could not show a change that came in
// the moment after they were made.
func (c *Copy) readRecent(ctx context.Context, dir string, tree *dirNode) error {
	type item struct {
		in *dirNode
		n  *node
	}
	var items []item
	tree.files(func(in *dirNode, n *node) bool {
		if n.recent {
			items = append(items, item{in, n})
		}
		return true
	})
	r := &reader{root: dir, dry: true}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		wg.Go(func() {
			var buf scratch
			for i := next.Add(1) - 1; i < int64(len(items)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				n := items[i].n
				before := *n
				err := r.attempt(ctx, filepath.Join(dir, joinPath(items[i].in.path, n.name)), n, &buf)
				n.known = err == nil && n.digest == before.digest && n.stat == before.stat
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// found is something in the directory.
type found struct {
	path  string
	n     *node
	trait string // of a directory
}

func (d *dirNode) list(all []found) []found {
	for i := range d.nodes {
		n := &d.nodes[i]
		f := found{path: joinPath(d.path, n.name), n: n}
		if n.dir == nil {
			all = append(all, f)
			continue
		}
		f.trait = n.dir.trait
		all = n.dir.list(append(all, f))
	}
	return all
}

// compare goes through what is there and what is to be there, which have the
// same order.
func (r *Renewal) compare(tree *dirNode, trait string) {
	have := tree.list(make([]found, 0, len(r.m.Entries)))
	drop := func() { // the next of have, with what is in it
		path := have[0].path
		r.remove = append(r.remove, path)
		for have = have[1:]; len(have) > 0 && under(have[0].path, path); {
			have = have[1:]
		}
	}
	for i := range r.m.Entries {
		want := &r.m.Entries[i]
		for len(have) > 0 && comparePaths(have[0].path, want.Path) < 0 {
			drop()
		}
		if len(have) == 0 || have[0].path != want.Path {
			r.create = append(r.create, i)
			continue
		}
		if !have[0].fits(want, trait) {
			drop()
			r.create = append(r.create, i)
			continue
		}
		r.stats[i] = have[0].n.stat
		const all = 0o700
		if mode := have[0].n.stat.mode &^ unix.S_IFMT; want.Kind == KindDir && (mode != want.Mode || mode&all != all) {
			r.open = append(r.open, i)
		}
		have = have[1:]
	}
	for len(have) > 0 {
		drop()
	}
}

// fits says whether what is there can stay.
func (f *found) fits(want *Entry, trait string) bool {
	if f.n.kind != want.Kind {
		return false
	}
	switch want.Kind {
	case KindDir:
		return f.trait == trait // a mode is easily set
	case KindLink:
		return f.n.known && f.n.target == want.Target
	default:
		return f.n.known && f.n.digest == want.Digest && f.n.stat.size == want.Size && f.n.stat.mode&^unix.S_IFMT == want.Mode
	}
}

// Kept is how many of the snapshot's files stay as they are.
func (r *Renewal) Kept() int {
	kept := 0
	for i := range r.m.Entries {
		if r.m.Entries[i].Kind == KindFile && r.stats[i].ino != 0 {
			kept++
		}
	}
	return kept
}

// Missing lists the contents that are needed and that the store lacks.
func (r *Renewal) Missing(ctx context.Context) ([]Digest, error) {
	needed := &Manifest{Entries: r.entries()}
	return r.s.Missing(ctx, needed)
}

// entries are those that must be made.
func (r *Renewal) entries() []Entry {
	list := make([]Entry, len(r.create))
	for i, at := range r.create {
		list[i] = r.m.Entries[at]
	}
	return list
}

// Apply does what Renew found, and gives what is known then. Every file it
// writes is checked against its digest. Cut or failed, it leaves a directory
// that the same Copy as before can be used with, or an empty one if it was.
// Progress may be nil.
func (r *Renewal) Apply(ctx context.Context, progress func(Progress)) (*Copy, error) {
	v, err := r.s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer v.close()
	totals := r.m.Totals()
	m := newMeter(progress, totals)
	u := newUnpacking(v, r.entries(), m)
	m.skip(totals, u.entries)
	if err := r.write(ctx, u); err != nil {
		err = fmt.Errorf("unpack snapshot: %w", err)
		if r.fresh {
			err = errors.Join(err, clearDir(r.dir, r.made))
		}
		return nil, err
	}
	for i, at := range r.create {
		r.stats[at] = u.stats[i]
	}
	c := &Copy{ID: r.m.ID, Totals: totals}
	if err := c.note(r.dir, r.m.Entries, r.stats); err != nil {
		return nil, fmt.Errorf("look at working copy: %w", err)
	}
	m.done()
	return c, nil
}

func (r *Renewal) write(ctx context.Context, u *unpacking) error {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if len(r.remove)+len(r.create) > 0 {
		for _, i := range r.open {
			if err := root.Chmod(r.m.Entries[i].Path, 0o700); err != nil {
				return err
			}
		}
	}
	for _, path := range r.remove {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := root.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := u.run(ctx, r.dir); err != nil {
		return err
	}
	for _, i := range slices.Backward(r.open) {
		e := &r.m.Entries[i]
		if err := root.Chmod(e.Path, fs.FileMode(e.Mode)); err != nil {
			return err
		}
		r.stats[i].mode = unix.S_IFDIR | e.Mode
	}
	return nil
}

// note takes down what the directory is like that was just made.
func (c *Copy) note(dir string, entries []Entry, stats []fileStat) error {
	for i := range entries {
		if entries[i].Kind == KindDir {
			stats[i] = fileStat{mode: unix.S_IFDIR | entries[i].Mode}
		}
	}
	fd, err := retry(func() (int, error) { return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	root, err := (&sourceFile{fd: fd, path: dir}).stat()
	if err != nil {
		return err
	}
	if c.trait, err = traitsOf(fd); err != nil {
		return err
	}
	c.mode, c.made, c.tree = root.mode, time.Now(), treeOf(entries, stats)
	return nil
}
