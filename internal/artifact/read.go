package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// List gives everything, sorted by path; directories only when they are empty.
// The log's index is ours and left out. A directory that is not there has
// nothing.
func (d *Directory) List(ctx context.Context) ([]File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list artifacts: %w", err)
	}
	defer func() { _ = root.Close() }()
	var files []File
	for _, top := range d.tops {
		info, err := root.Lstat(top)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list artifacts: %w", err)
		}
		if !info.IsDir() {
			continue
		}
		if files, err = d.list(ctx, root, top, files); err != nil {
			return nil, fmt.Errorf("list artifacts: %w", err)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// hidden is what we keep in logs/ for ourselves: when each part of the log was
// written.
const hidden = "logs/std_log.idx"

func (d *Directory) list(ctx context.Context, root *os.Root, dir string, files []File) ([]File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil // removed meanwhile
	}
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := dir + "/" + entry.Name()
		if name == hidden {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			before := len(files)
			if files, err = d.list(ctx, root, name, files); err != nil {
				return nil, err
			}
			if len(files) > before {
				continue
			}
		}
		file, err := d.file(root, name, info)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if file.Dir || file.Link != "" || info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files, nil
}

// file is what info tells of.
func (d *Directory) file(root *os.Root, name string, info fs.FileInfo) (File, error) {
	f := File{Path: name, Mode: info.Mode(), Modified: info.ModTime()}
	switch mode := info.Mode(); {
	case mode.IsDir():
		f.Dir = true
	case mode&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil {
			return f, err
		}
		f.Link = target
	case mode.IsRegular():
		f.Size, f.Digest = info.Size(), d.memory.known(root, name, info)
	}
	return f, nil
}

// Stat tells of one thing.
func (d *Directory) Stat(_ context.Context, name string) (File, error) {
	if err := d.check(name); err != nil {
		return File{}, err
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return File{}, fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(name)
	if err != nil {
		return File{}, fmt.Errorf("artifact %q: %w", name, err)
	}
	f, err := d.file(root, name, info)
	if err != nil {
		return File{}, fmt.Errorf("artifact %q: %w", name, err)
	}
	return f, nil
}

// Remove removes one thing, and the directories above it that are empty then.
func (d *Directory) Remove(_ context.Context, name string) error {
	if err := d.check(name); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	for at := path.Dir(name); path.Dir(at) != "."; at = path.Dir(at) {
		if root.Remove(at) != nil {
			break // something is in it
		}
	}
	return nil
}

// openFile is a file of the directory, open.
type openFile struct {
	*osFile
	file File
}

type osFile = os.File

func (f *openFile) File() File { return f.file }

// Open opens one file for reading. A symbolic link is followed when it stays
// inside; a pipe, socket or device is a *KindError.
func (d *Directory) Open(_ context.Context, name string) (Readable, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open artifact: %w", err), f.Close())
	}
	return &openFile{f, File{Path: name, Size: info.Size(), Mode: info.Mode(), Modified: info.ModTime()}}, nil
}

func (d *Directory) open(name string) (*os.File, error) {
	if err := d.check(name); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	defer func() { _ = root.Close() }()
	// Without waiting: a pipe would block until somebody writes to it.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open artifact: %w", err), f.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, errors.Join(&KindError{Name: name, Kind: Kind(info.Mode())}, f.Close())
	}
	return f, nil
}
