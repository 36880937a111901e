package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
)

// Prune frees what nothing needs any more: runs that ended before olderThan
// ago with what they left, environments that nobody used since, and snapshots
// that no run refers to. With dryRun it only says what it would do.
func (c *Controller) Prune(ctx context.Context, olderThan time.Duration, dryRun bool) (*PruneReport, error) {
	old, err := c.store.List(ctx, store.Filter{EndedBefore: c.now().Add(-olderThan)})
	if err != nil {
		return nil, err
	}
	report, err := c.PruneEnvironments(ctx, olderThan, dryRun)
	if err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, r := range old {
		report.Bytes += treeSize(c.runDir(r.ID))
		gone[r.ID] = true
		report.Runs = append(report.Runs, r.ID)
		if dryRun {
			continue
		}
		// The row goes first: files without a row are found by the next prune,
		// a row without files would promise outputs that are not there.
		if err := c.store.DeleteRun(ctx, r.ID); err != nil {
			return report, fmt.Errorf("remove run %s: %w", r.ID, err)
		}
	}
	if err := c.pruneRunDirs(ctx, gone, c.now().Add(-olderThan), dryRun); err != nil {
		return report, err
	}
	return report, c.pruneSnapshots(ctx, report, gone, olderThan, dryRun)
}

// pruneRunDirs removes the directories of runs that are gone from the store,
// and those of runs that it does not have and that nobody touched since before:
// a prune that was cut left them.
func (c *Controller) pruneRunDirs(ctx context.Context, gone map[string]bool, before time.Time, dryRun bool) error {
	if dryRun {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(c.home, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list what runs left: %w", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := e.Name()
		if !gone[id] {
			info, err := e.Info()
			if err != nil || info.ModTime().After(before) {
				continue
			}
			if _, err := c.store.Run(ctx, id); err == nil {
				continue
			} else if _, unknown := errors.AsType[*store.NotFoundError](err); !unknown {
				return err
			}
		}
		if err := os.RemoveAll(c.runDir(id)); err != nil {
			return fmt.Errorf("remove what run %s left: %w", id, err)
		}
	}
	return nil
}

func (c *Controller) pruneSnapshots(ctx context.Context, report *PruneReport, gone map[string]bool, olderThan time.Duration, dryRun bool) error {
	runs, err := c.store.List(ctx, store.Filter{Specs: true})
	if err != nil {
		return err
	}
	wanted := map[snapshot.ID]bool{}
	for _, r := range runs {
		if !gone[r.ID] {
			wanted[snapshot.ID(r.Snapshot)] = true
			if e := r.ResolvedEnvironment; e != nil && e.Context != "" {
				wanted[snapshot.ID(e.Context)] = true
			}
		}
	}
	environments, err := c.store.ListEnvironments(ctx)
	if err != nil {
		return err
	}
	for _, e := range environments {
		if e.Resolved != nil && e.Resolved.Context != "" {
			wanted[snapshot.ID(e.Resolved.Context)] = true
		}
	}
	infos, err := c.snapshots.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	before := c.now().Add(-max(olderThan, submitWindow))
	for _, i := range infos {
		if i.Used.After(before) {
			wanted[i.ID] = true // taken lately: its submission may be on its way
		}
	}
	stats, err := c.snapshots.Prune(ctx, func(id snapshot.ID) bool { return wanted[id] }, dryRun)
	if err != nil {
		return fmt.Errorf("prune snapshots: %w", err)
	}
	report.Snapshots, report.Bytes = stats.Snapshots, report.Bytes+stats.Bytes
	return nil
}

// submitWindow is how long after it was taken a snapshot may wait for the run
// that wants it to be stored.
const submitWindow = time.Hour

// treeSize is the size of all files below a directory, in bytes.
func treeSize(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be seen is not counted
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}
