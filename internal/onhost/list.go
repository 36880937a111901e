package onhost

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Item is something below what Fetch asks for.
type Item struct {
	// Path on the host, absolute, raw bytes.
	Path string
	Mode fs.FileMode
	// Size in bytes, of files.
	Size int64
	// Changed last. Fresh: that was just now, so that it may change once more at
	// what the host takes for the same time.
	Changed time.Time
	Fresh   bool
	// Target of a symbolic link.
	Target string
	// Empty directory.
	Empty bool
}

// item is an Item on its way: a path need not be UTF-8.
type item struct {
	Path    []byte      `json:"path"`
	Mode    fs.FileMode `json:"mode"`
	Size    int64       `json:"size,omitempty"`
	Changed time.Time   `json:"changed"`
	Fresh   bool        `json:"fresh,omitempty"`
	Target  []byte      `json:"target,omitempty"`
	Empty   bool        `json:"empty,omitempty"`
}

// fresh is longer than the finest step of a file system's time.
const fresh = 2 * time.Second

// list names all there is below roots, which are left out themselves when they
// are not there. It opens directories that their owner closed.
func list(ctx context.Context, roots []string) ([]item, error) {
	var all []item
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // it is not there, or not any more
				return skip(e)
			}
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			i, err := itemOf(name, e)
			if errors.Is(err, fs.ErrNotExist) {
				return skip(e)
			}
			if err != nil {
				return err
			}
			all = append(all, i)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// itemOf looks at one thing.
func itemOf(name string, e fs.DirEntry) (item, error) {
	info, err := e.Info()
	if err != nil {
		return item{}, err
	}
	i := item{Path: []byte(name), Mode: info.Mode(), Changed: info.ModTime(), Fresh: time.Since(info.ModTime()) < fresh}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		i.Size = info.Size()
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return item{}, err
		}
		i.Target = []byte(target)
	case mode.IsDir():
		if i.Empty, err = openDirectory(name, info); err != nil {
			return item{}, err
		}
	}
	return i, nil
}

// skip goes on after something that is gone; e is nil for a root.
func skip(e fs.DirEntry) error {
	if e == nil || e.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// openDirectory lets us, who own it, into a directory, and says whether it is
// empty.
func openDirectory(name string, info fs.FileInfo) (empty bool, err error) {
	const owner = 0o700
	if info.Mode().Perm()&owner != owner {
		if err := os.Chmod(name, info.Mode().Perm()|owner); err != nil {
			return false, err
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	names, _ := f.Readdirnames(1) // an error is the walk's to tell
	return len(names) == 0, f.Close()
}
