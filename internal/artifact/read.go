package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// File is one thing that an attempt left.
type File struct {
	// Path begins with "outputs/" or "logs/".
	Path string
	// Size in bytes; zero for links and directories.
	Size int64
	Mode fs.FileMode
	// Link is the target of a symbolic link, else empty.
	Link string
	Dir  bool
}

// Readable is an open artifact; it can be sought in.
type Readable interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// List gives everything below outputs/ and logs/, sorted by path; directories
// only when they are empty. The log's index is ours and left out. A directory
// that is not there has nothing.
func (d *Directory) List() ([]File, error) {
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list artifacts: %w", err)
	}
	defer func() { _ = root.Close() }()
	var files []File
	for _, top := range []string{"logs", "outputs"} {
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
		if files, err = list(root, top, files); err != nil {
			return nil, fmt.Errorf("list artifacts: %w", err)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// hidden is what we keep in logs/ for ourselves: when each part of the log was
// written.
const hidden = "logs/std_log.idx"

func list(root *os.Root, dir string, files []File) ([]File, error) {
	f, err := root.Open(dir)
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
		switch mode := info.Mode(); {
		case mode.IsDir():
			before := len(files)
			if files, err = list(root, name, files); err != nil {
				return nil, err
			}
			if len(files) == before {
				files = append(files, File{Path: name, Mode: mode, Dir: true})
			}
		case mode&fs.ModeSymlink != 0:
			target, err := root.Readlink(name)
			if err != nil {
				return nil, err
			}
			files = append(files, File{Path: name, Mode: mode, Link: target})
		case mode.IsRegular():
			files = append(files, File{Path: name, Size: info.Size(), Mode: mode})
		}
	}
	return files, nil
}

// Open opens one file for reading. A symbolic link is followed when it stays
// inside; a pipe, socket or device is a *KindError.
func (d *Directory) Open(name string) (Readable, error) {
	if err := CheckName(name); err != nil {
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
