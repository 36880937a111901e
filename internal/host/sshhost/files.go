package sshhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/runnerml/runner/internal/host"
)

// transport is a way to a host's files: SFTP, or a shell. Every method may be
// repeated.
type transport interface {
	stat(ctx context.Context, path string, follow bool) (fs.FileInfo, error)
	readDir(ctx context.Context, path string) ([]fs.DirEntry, error)
	readlink(ctx context.Context, path string) (string, error)
	// read reads up to n bytes at an offset; fewer only at the end of the file.
	read(ctx context.Context, path string, offset int64, n int) ([]byte, error)
	// put writes data to a file named temporary and renames it to path.
	put(ctx context.Context, path, temporary string, data []byte, mode fs.FileMode) error
	rename(ctx context.Context, from, to string) error
}

// onFiles does one operation on files, again when the connection breaks.
func (h *Host) onFiles(ctx context.Context, op, name string, f func(context.Context, transport) error) error {
	if !path.IsAbs(name) {
		return &fs.PathError{Op: op, Path: name, Err: errRelDir}
	}
	return h.do(ctx, true, readyForFiles, func(ctx context.Context, c *conn) error {
		t, err := c.files.transport(ctx, c)
		if err != nil {
			return err
		}
		err = f(ctx, t)
		var lost *LostError
		if err == nil || errors.As(err, &lost) || ctx.Err() != nil {
			return err
		}
		var known *fs.PathError
		if errors.As(err, &known) {
			err = known.Err
		}
		return &fs.PathError{Op: op, Path: name, Err: err}
	})
}

// Stat follows links.
func (h *Host) Stat(ctx context.Context, path string) (info fs.FileInfo, err error) {
	err = h.onFiles(ctx, "stat", path, func(ctx context.Context, t transport) error {
		info, err = t.stat(ctx, path, true)
		return err
	})
	return info, err
}

// Lstat does not follow links.
func (h *Host) Lstat(ctx context.Context, path string) (info fs.FileInfo, err error) {
	err = h.onFiles(ctx, "lstat", path, func(ctx context.Context, t transport) error {
		info, err = t.stat(ctx, path, false)
		return err
	})
	return info, err
}

// ReadDir lists a directory, sorted by name.
func (h *Host) ReadDir(ctx context.Context, path string) (entries []fs.DirEntry, err error) {
	err = h.onFiles(ctx, "readdir", path, func(ctx context.Context, t transport) error {
		entries, err = t.readDir(ctx, path)
		return err
	})
	return entries, err
}

// Readlink says where a link points.
func (h *Host) Readlink(ctx context.Context, path string) (target string, err error) {
	err = h.onFiles(ctx, "readlink", path, func(ctx context.Context, t transport) error {
		target, err = t.readlink(ctx, path)
		return err
	})
	return target, err
}

// WriteFile stores data whole or not at all. The mode is exact.
func (h *Host) WriteFile(ctx context.Context, name string, data []byte, mode fs.FileMode) error {
	temporary := path.Join(path.Dir(name), host.Unfinished+rand.Text())
	err := h.onFiles(ctx, "write", name, func(ctx context.Context, t transport) error {
		return t.put(ctx, name, temporary, data, mode.Perm())
	})
	if err != nil && errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return err
}

// Rename moves a file or directory within one file system.
func (h *Host) Rename(ctx context.Context, from, to string) error {
	tries := 0
	return h.onFiles(ctx, "rename", from, func(ctx context.Context, t transport) error {
		tries++
		err := t.rename(ctx, from, to)
		if tries > 1 && errors.Is(err, fs.ErrNotExist) {
			// The answer to the first try may have been lost with the connection.
			if _, statErr := t.stat(ctx, to, false); statErr == nil {
				return nil
			}
		}
		return err
	})
}

// MkdirAll makes a directory and its parents.
func (h *Host) MkdirAll(ctx context.Context, name string, mode fs.FileMode) error {
	info, err := h.Stat(ctx, name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	script := fmt.Sprintf("umask %04o; mkdir -p -- %s", 0o777&^mode.Perm(), host.Quote(name))
	return asPathError("mkdir", name, h.script(ctx, "mkdir", script, nil, nil))
}

// errNotOurs is a removal that must be a mistake.
var errNotOurs = errors.New("this is never removed")

// RemoveAll removes a tree. Where permission bits of directories inside forbid
// it, they are made writable first. Links are removed, never followed.
func (h *Host) RemoveAll(ctx context.Context, name string) error {
	if name = path.Clean(name); !path.IsAbs(name) || name == "/" {
		return &fs.PathError{Op: "remove", Path: name, Err: errNotOurs}
	}
	q := host.Quote(name)
	script := fmt.Sprintf("rm -rf -- %s 2>/dev/null || { find %s -type d -exec chmod u+rwx {} \\; 2>/dev/null; rm -rf -- %s; }", q, q, q)
	return asPathError("remove", name, h.script(ctx, "remove", script, nil, nil))
}

func asPathError(op, name string, err error) error {
	if err == nil || errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
