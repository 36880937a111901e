package datacache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/flock"
)

// What follows a key in the names of what is no whole object.
const (
	partSuffix = ".part"
	lockSuffix = ".lock"
	goneSuffix = ".gone"
)

// Cache is a directory of objects. It holds nothing open.
type Cache struct{ dir string }

// Open is the cache in dir, which is made when it is needed.
func Open(dir string) *Cache { return &Cache{dir: dir} }

// Path of an object, whether it is there or not.
func (c *Cache) Path(key string) string { return filepath.Join(c.dir, key) }

// Part is where an object is being made.
func (c *Cache) Part(key string) string { return c.Path(key) + partSuffix }

const private = 0o700

// ErrKey is a key that cannot be a file's name, or is one of our own.
var ErrKey = errors.New("no key of an object")

func checkKey(key string) error {
	if key == "" || key != filepath.Base(key) || strings.HasPrefix(key, ".") ||
		strings.HasSuffix(key, partSuffix) || strings.HasSuffix(key, lockSuffix) || strings.HasSuffix(key, goneSuffix) ||
		strings.HasSuffix(key, sealSuffix) {
		return fmt.Errorf("%w: %q", ErrKey, key)
	}
	return nil
}

// Use marks an object as used now; false: it is not there, or not as it was
// made.
func (c *Cache) Use(ctx context.Context, key string) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	lock, err := flock.Directory(ctx, c.dir, flock.Shared)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cached data: %w", err)
	}
	defer lock.Release()
	if whole, err := c.intact(ctx, key); !whole || err != nil {
		return false, err
	}
	now := time.Now()
	err = os.Chtimes(c.Path(key), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Fill makes an object unless it is there, alone: fill is given the directory
// or file to make, which may hold what an earlier filler left of it. filled
// says whether it was made now. When fill fails its part stays.
func (c *Cache) Fill(ctx context.Context, key string, fill func(ctx context.Context, part string) error) (filled bool, err error) {
	if there, err := c.Use(ctx, key); there || err != nil {
		return false, err
	}
	if err := os.MkdirAll(c.dir, private); err != nil {
		return false, fmt.Errorf("cached data: %w", err)
	}
	lock, err := flock.File(ctx, c.Path(key)+lockSuffix)
	if err != nil {
		return false, fmt.Errorf("cached data: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	if there, err := c.Use(ctx, key); there || err != nil {
		return false, err // another made it meanwhile
	}
	if err := fill(ctx, c.Part(key)); err != nil {
		return false, err
	}
	if err := c.seal(ctx, key); err != nil {
		return false, fmt.Errorf("cached data: %w", err)
	}
	if err := c.away(c.Path(key)); err != nil { // that somebody changed
		return false, fmt.Errorf("cached data: %w", err)
	}
	now := time.Now() // what fill set is not when it was used
	if err := os.Chtimes(c.Part(key), now, now); err != nil {
		return false, fmt.Errorf("cached data: %w", err)
	}
	if err := os.Rename(c.Part(key), c.Path(key)); err != nil {
		return false, fmt.Errorf("cached data: %w", err)
	}
	return true, nil
}

// away gives a name that nobody looks for to what is there, if anything is: the
// next prune removes it.
func (c *Cache) away(name string) error {
	err := os.Rename(name, goneName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func goneName(name string) string {
	return fmt.Sprintf("%s.%d%s", name, time.Now().UnixNano(), goneSuffix)
}
