package onhost

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// youngRun is how old what is left of a run must be at least: one that begins
// just now is not known to whoever asked us yet.
const youngRun = time.Hour

// runDirectories removes what is left of runs that have ended and have no
// attempt here any more.
func (p *pruning) runDirectories(ctx context.Context) (freed FreedPart, err error) {
	dir := filepath.Join(p.root, runsDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return freed, nil
	}
	if err != nil {
		return freed, err
	}
	alive := map[string]bool{}
	for _, id := range p.Runs {
		alive[url.PathEscape(id)] = true
	}
	before := p.before
	if young := time.Now().Add(-youngRun); young.Before(before) {
		before = young
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return freed, context.Cause(ctx)
		}
		name := filepath.Join(dir, e.Name())
		if !e.IsDir() || alive[e.Name()] || hasAttempts(name) || p.busy[runsDir+"/"+e.Name()] {
			continue
		}
		bytes, newest, err := measure(name)
		if err != nil {
			return freed, err
		}
		if !newest.Before(before) {
			continue
		}
		freed.Count++
		freed.Bytes += bytes
		if p.DryRun {
			continue
		}
		if err := p.here.RemoveAll(ctx, name); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func hasAttempts(run string) bool {
	entries, err := os.ReadDir(filepath.Join(run, "attempts"))
	return len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// measure sums the files of a tree, and says when one was changed last. What
// goes meanwhile is not counted.
func measure(root string) (total int64, newest time.Time, err error) {
	err = filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				if info.Mode().IsRegular() {
					total += info.Size()
				}
				if info.ModTime().After(newest) {
					newest = info.ModTime()
				}
				return nil
			}
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil // gone, or another user's: then it only counts less
		}
		return err
	})
	return total, newest, err
}
