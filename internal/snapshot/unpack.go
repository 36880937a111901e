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
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Unpack writes a snapshot to dst, which must be absent or an empty directory:
// ErrNotEmpty otherwise. Every file is checked against its digest. On an error
// all that was written is taken away again; a caller that was killed in the
// middle removes dst and unpacks anew. Progress may be nil.
func (s *Store) Unpack(ctx context.Context, id ID, dst string, progress func(Progress)) error {
	v, err := s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer v.close()
	m, err := s.Manifest(ctx, id)
	if err != nil {
		return err
	}
	made, err := emptyDir(dst)
	if err != nil {
		return fmt.Errorf("unpack snapshot: %w", err)
	}
	u := newUnpacking(v, m.Entries, newMeter(progress, m.Totals()))
	if err := u.run(ctx, dst); err != nil {
		return errors.Join(fmt.Errorf("unpack snapshot: %w", err), clearDir(dst, made))
	}
	u.meter.done()
	return nil
}

// emptyDir makes sure that dst is an empty directory and says whether it had
// to be made.
func emptyDir(dst string) (made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return false, err
	}
	err = os.Mkdir(dst, 0o755)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	names, err := os.ReadDir(dst)
	if err != nil {
		return false, err
	}
	if len(names) > 0 {
		return false, &os.PathError{Op: "unpack into", Path: dst, Err: ErrNotEmpty}
	}
	return false, nil
}

// clearDir takes away what an unfinished unpacking left, and dst itself when
// it was not there before.
func clearDir(dst string, made bool) error {
	err := filepath.WalkDir(dst, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && p != dst {
			return os.Chmod(p, 0o700) // or what is in a read-only one stays
		}
		return err
	})
	if made {
		return errors.Join(err, os.RemoveAll(dst))
	}
	names, readErr := os.ReadDir(dst)
	err = errors.Join(err, readErr)
	for _, n := range names {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dst, n.Name())))
	}
	return err
}

// unpacking is one Unpack at work. The manifest was checked, so that no name
// leads out or lies beneath a link, and everything is opened beneath an
// os.Root, so that it could not get out if it did. Links come last.
type unpacking struct {
	view    *view
	entries []Entry
	meter   *meter
	// stats are what the files were like when they were made, and the links.
	stats []fileStat
}

func newUnpacking(v *view, entries []Entry, m *meter) *unpacking {
	return &unpacking{view: v, entries: entries, meter: m, stats: make([]fileStat, len(entries))}
}

// batch is some files of one directory, by their place among the entries.
type batch struct {
	dir   string
	files []int
}

func (u *unpacking) run(ctx context.Context, dst string) error {
	root, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range u.entries {
		if e := &u.entries[i]; e.Kind == KindDir {
			if err := root.Mkdir(e.Path, 0o700); err != nil {
				return err
			}
		}
	}
	if err := u.writeFiles(ctx, root); err != nil {
		return err
	}
	for i := range u.entries {
		if e := &u.entries[i]; e.Kind == KindLink {
			if err := root.Symlink(e.Target, e.Path); err != nil {
				return err
			}
			if err := u.stats[i].lstat(filepath.Join(dst, e.Path)); err != nil {
				return err
			}
		}
	}
	for _, e := range slices.Backward(u.entries) {
		if e.Kind == KindDir {
			if err := root.Chmod(e.Path, fs.FileMode(e.Mode)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unpacking) writeFiles(ctx context.Context, root *os.Root) error {
	batches := u.batches()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(batches)) {
		wg.Go(func() {
			var buf scratch
			for {
				i := int(next.Add(1)) - 1
				if i >= len(batches) {
					return
				}
				if err := u.writeBatch(ctx, root, &batches[i], &buf); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// batches groups the files by directory, not too many in one so that all
// processors have something to do.
func (u *unpacking) batches() []batch {
	const most = 64
	var list []batch
	open := make(map[string]int)
	for i := range u.entries {
		e := &u.entries[i]
		if e.Kind != KindFile {
			continue
		}
		dir := "."
		if slash := strings.LastIndexByte(e.Path, '/'); slash >= 0 {
			dir = e.Path[:slash]
		}
		at, ok := open[dir]
		if !ok || len(list[at].files) == most {
			at = len(list)
			open[dir] = at
			list = append(list, batch{dir: dir})
		}
		list[at].files = append(list[at].files, i)
	}
	return list
}

func (u *unpacking) writeBatch(ctx context.Context, root *os.Root, b *batch, buf *scratch) error {
	dir := root
	if b.dir != "." {
		sub, err := root.OpenRoot(b.dir)
		if err != nil {
			return err
		}
		defer sub.Close()
		dir = sub
	}
	for _, i := range b.files {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		e := &u.entries[i]
		if err := u.writeFile(dir, e, &u.stats[i], buf); err != nil {
			return fmt.Errorf("%s: %w", quotePath(e.Path), err)
		}
		u.meter.add(e.Size)
	}
	return nil
}

func (u *unpacking) writeFile(dir *os.Root, e *Entry, stat *fileStat, buf *scratch) error {
	f, err := dir.OpenFile(e.Path[strings.LastIndexByte(e.Path, '/')+1:], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if e.Size > 0 {
		err = u.view.blob(e.Digest, e.Size, buf, func(off int64, raw, _ []byte) error {
			_, err := f.WriteAt(raw, off)
			return err
		})
	}
	if err == nil {
		err = f.Chmod(fs.FileMode(e.Mode))
	}
	if err == nil {
		*stat, err = (&sourceFile{fd: int(f.Fd()), path: e.Path}).stat()
	}
	return errors.Join(err, f.Close())
}
