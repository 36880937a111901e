package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func isCrossDevice(err error) bool { return errors.Is(err, syscall.EXDEV) }

// copyTree copies the file or tree at from into root under the name to. All
// files are on the disk when it returns. Symbolic links are copied as links.
func copyTree(ctx context.Context, from string, root *os.Root, to string) error {
	type dirMode struct {
		name string
		mode fs.FileMode
	}
	var dirs []dirMode // set last: a directory may forbid writing into it
	err := filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		name := filepath.Join(to, rel)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			dirs = append(dirs, dirMode{name, mode.Perm()})
			return root.Mkdir(name, 0o700)
		case mode.IsRegular():
			return copyFile(ctx, at, root, name, mode.Perm())
		case mode&fs.ModeSymlink != 0:
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			return root.Symlink(target, name)
		default:
			return &KindError{Name: rel, Kind: Kind(mode)}
		}
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := root.Chmod(dirs[i].name, dirs[i].mode|0o700); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(ctx context.Context, from string, root *os.Root, to string, mode fs.FileMode) error {
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, stopReader{ctx, in})
	if err == nil {
		err = out.Chmod(mode | 0o400)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// Kind says in a word what something with that mode is.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "file"
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	default:
		return "special file"
	}
}
