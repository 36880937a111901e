package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes a tree. Where permission bits of directories inside forbid
// it, they are made writable first. Links are removed, never followed.
func (h *Here) RemoveAll(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := openUp(ctx, path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// openUp gives us all rights on every directory of a tree. What it cannot
// change it leaves: the removal that follows says what is wrong.
func openUp(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return nil //nolint:nilerr // the removal says it
	}
	if info.Mode().Perm()&0o700 != 0o700 {
		_ = chmodDir(path, 0o700) // see above
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil //nolint:nilerr // the removal says it
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := openUp(ctx, filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
