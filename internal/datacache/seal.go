package datacache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sealSuffix follows a key in the name of the file that says how the object was
// when it was whole: programs that may do anything can change what all read.
const sealSuffix = ".seal"

// sealOf is a digest of what a tree's files are like, without reading them.
func sealOf(ctx context.Context, root string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.IsDir() && name == root {
			return nil // its time says when it was used
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		size, changed := info.Size(), info.ModTime().UnixNano()
		if e.Type()&fs.ModeSymlink != 0 || name == root {
			changed = 0
		}
		if e.IsDir() {
			size = 0
		}
		fmt.Fprintf(h, "%q %v %d %d\n", rel, info.Mode(), size, changed)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// seal writes down how an object is.
func (c *Cache) seal(ctx context.Context, key string) error {
	text, err := sealOf(ctx, c.Part(key))
	if err != nil {
		return err
	}
	const readable = 0o600
	return os.WriteFile(c.Path(key)+sealSuffix, []byte(text), readable)
}

// intact says whether an object is as it was when it was made.
func (c *Cache) intact(ctx context.Context, key string) (bool, error) {
	want, err := os.ReadFile(c.Path(key) + sealSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	got, err := sealOf(ctx, c.Path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return got == string(want), err
}
