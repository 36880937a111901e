package datacache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/flock"
)

// Policy says what may go.
type Policy struct {
	// InUse tells the keys that must stay. It is asked while nobody begins to
	// use an object.
	InUse func() (map[string]bool, error)
	// Before: what was used last before then goes.
	Before time.Time
	// MaxBytes is how much may stay: the longest unused goes first. Zero: no
	// limit.
	MaxBytes int64
	DryRun   bool
	// Remove removes a tree; nil: os.RemoveAll.
	Remove func(ctx context.Context, path string) error
}

// Item is an object, or the part of one.
type Item struct {
	Key string
	// Bytes of its files.
	Bytes int64
	Used  time.Time
	// Part: it was never made whole.
	Part bool
}

// Prune removes what the policy does not keep, and says what that was. What is
// being filled stays.
func (c *Cache) Prune(ctx context.Context, p Policy) ([]Item, error) {
	if p.Remove == nil {
		p.Remove = func(_ context.Context, path string) error { return os.RemoveAll(path) }
	}
	freed, err := c.prune(ctx, p)
	if errors.Is(err, fs.ErrNotExist) && len(freed) == 0 {
		if _, statErr := os.Stat(c.dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if err != nil {
		return freed, fmt.Errorf("prune cached data: %w", err)
	}
	return freed, nil
}

func (c *Cache) prune(ctx context.Context, p Policy) ([]Item, error) {
	items, gone, err := c.list(ctx) // which takes long: nobody waits for it
	if err != nil {
		return nil, err
	}
	lock, err := flock.Directory(ctx, c.dir, flock.Exclusive)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	used, err := p.InUse()
	if err != nil {
		return nil, err
	}
	chosen := p.choose(c.refresh(items), used)
	if p.DryRun {
		return chosen, nil
	}
	var freed []Item
	for _, item := range chosen {
		away, took, err := c.take(item)
		if err != nil {
			return freed, err
		}
		if took {
			gone, freed = append(gone, away), append(freed, item)
		}
	}
	lock.Release() // nobody sees what goes now
	for _, name := range gone {
		if err := p.Remove(ctx, name); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// take gives an item a name that nobody looks for, unless it is being filled.
func (c *Cache) take(item Item) (away string, took bool, err error) {
	name := c.Path(item.Key)
	if item.Part {
		name = c.Part(item.Key)
	}
	filling, err := flock.TryFile(c.Path(item.Key) + lockSuffix)
	if err != nil || filling == nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, filling.Remove()) }()
	away = goneName(name)
	if err := os.Rename(name, away); err != nil || item.Part {
		return away, err == nil, err
	}
	if err := os.Remove(name + sealSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return away, true, err
	}
	return away, true, nil
}

// refresh looks again when objects were used last, and leaves out what is gone.
func (c *Cache) refresh(items []Item) []Item {
	var there []Item
	for _, i := range items {
		if !i.Part {
			info, err := os.Stat(c.Path(i.Key))
			if err != nil {
				continue
			}
			i.Used = info.ModTime()
		} else if c.filling(i.Key) {
			continue
		}
		there = append(there, i)
	}
	return there
}

// choose is what goes of the items, the longest unused first.
func (p Policy) choose(items []Item, used map[string]bool) []Item {
	var free []Item
	var kept int64
	for _, i := range items {
		switch {
		case used[i.Key]:
			kept += i.Bytes
		default:
			free = append(free, i)
		}
	}
	slices.SortFunc(free, func(a, b Item) int { return b.Used.Compare(a.Used) }) // newest first
	var freed []Item
	for _, i := range free {
		if i.Used.Before(p.Before) || p.MaxBytes > 0 && kept+i.Bytes > p.MaxBytes {
			freed = append(freed, i)
			continue
		}
		kept += i.Bytes
	}
	slices.Reverse(freed)
	return freed
}

// list is all there is, and what an earlier prune that was cut did not remove.
func (c *Cache) list(ctx context.Context) (items []Item, gone []string, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := filepath.Join(c.dir, e.Name())
		if strings.HasSuffix(name, goneSuffix) {
			gone = append(gone, name)
			continue
		}
		if strings.HasSuffix(name, lockSuffix) || strings.HasSuffix(name, sealSuffix) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		i := Item{Used: info.ModTime()}
		i.Key, i.Part = strings.CutSuffix(e.Name(), partSuffix)
		var newest time.Time
		if i.Bytes, newest, err = measure(ctx, name); err != nil {
			return nil, nil, err
		}
		if i.Part { // its filler writes below it
			i.Used = newest
		}
		items = append(items, i)
	}
	return items, gone, nil
}

// filling reports whether somebody makes the object now.
func (c *Cache) filling(key string) bool {
	lock, err := flock.TryFile(c.Path(key) + lockSuffix)
	if err != nil || lock == nil {
		return true
	}
	return lock.Remove() != nil
}

// measure sums the files of a tree, and says when one was changed last.
func measure(ctx context.Context, root string) (total int64, newest time.Time, err error) {
	err = filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			total += info.Size()
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return nil
	})
	return total, newest, err
}
