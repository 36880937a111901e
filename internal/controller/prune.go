package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
)

// PruneOptions say what a prune may free.
type PruneOptions struct {
	// OlderThan is how long ago a run ended, or something was used last.
	OlderThan time.Duration
	// KeepLast runs of each experiment stay, however long ago they ended.
	KeepLast int
	// States that runs ended in; none: all.
	States []run.State
	// Target to free things on; empty: all that can be reached, and here.
	Target string
	// EnvironmentsOnly frees environments and images, and nothing else.
	EnvironmentsOnly bool
	// DryRun only says what would be freed.
	DryRun bool
}

// Keeping is what an installation keeps of what can be made or sent again.
type Keeping struct {
	// Every is how often attached machines are pruned by themselves; zero: never.
	Every time.Duration
	// OlderThan is what goes then: what nobody used for so long.
	OlderThan time.Duration
	// MaxBytes is how much each machine keeps of a kind; not in it: no limit.
	MaxBytes map[backends.PruneKind]int64
}

// Prune frees what nothing needs any more: runs that ended long ago with what
// they left, and on this computer and every target that can be reached the
// snapshots, environments, inputs and images that nobody used since and no
// unfinished run wants. A target that cannot be reached is named in the report.
func (c *Controller) Prune(ctx context.Context, o PruneOptions) (*PruneReport, error) {
	if o.Target != "" {
		if _, err := c.named(o.Target); err != nil {
			return nil, err
		}
	}
	for _, t := range c.allTargets() { // all wait for their first try at once
		if o.Target == "" || t.name == o.Target {
			c.awaitFirstTry(ctx, t.name)
		}
	}
	c.pruning.Lock() // two at once would only stumble over each other
	defer c.pruning.Unlock()
	report := newPruneReport(o.DryRun)
	p, err := c.pruningOf(ctx, o)
	if err != nil {
		return nil, err
	}
	here := report.place(localTarget)
	if !o.EnvironmentsOnly {
		gone, err := c.pruneRuns(ctx, o, report, here)
		if err != nil {
			return report.done(), err
		}
		if o.Target == "" || o.Target == localTarget {
			if err := c.pruneSnapshots(ctx, here, gone, o); err != nil {
				return report.done(), err
			}
		}
	}
	c.pruneTargets(ctx, o.Target, p, report)
	return report.done(), context.Cause(ctx)
}

// pruneRuns removes runs that ended long ago; gone are their ids.
func (c *Controller) pruneRuns(ctx context.Context, o PruneOptions, report *PruneReport, here *PrunedPlace) (gone map[string]bool, err error) {
	old, err := c.oldRuns(ctx, o)
	if err != nil {
		return nil, err
	}
	held, err := c.stillThere(ctx)
	if err != nil {
		return nil, err
	}
	gone = map[string]bool{}
	freed := backends.Freed{Kind: backends.PruneRuns, Names: []string{}}
	defer func() { here.add(freed) }()
	for _, r := range old {
		if why := held.why(&r); why != "" {
			report.Kept = append(report.Kept, KeptRun{ID: r.ID, Why: why})
			continue
		}
		size := treeSize(c.runDir(r.ID))
		elsewhere, err := c.deleteArtifacts(ctx, r.ID, o.DryRun)
		if err != nil {
			report.Kept = append(report.Kept, KeptRun{ID: r.ID, Why: err.Error()})
			continue
		}
		size += elsewhere
		// The row goes first: files without a row are found by the next prune,
		// a row without files would promise outputs that are not there.
		if !o.DryRun {
			if err := c.store.DeleteRun(ctx, r.ID); err != nil {
				return gone, fmt.Errorf("remove run %s: %w", r.ID, err)
			}
		}
		gone[r.ID] = true
		freed.Count, freed.Bytes, freed.Names = freed.Count+1, freed.Bytes+size, append(freed.Names, r.ID)
	}
	if o.DryRun {
		return gone, nil
	}
	return gone, c.pruneRunDirs(ctx, gone, held, c.now().Add(-o.OlderThan))
}

// oldRuns are the runs that may go by their age, newest first.
func (c *Controller) oldRuns(ctx context.Context, o PruneOptions) ([]run.Run, error) {
	ended, err := c.store.List(ctx, store.Filter{EndedBefore: c.now()})
	if err != nil {
		return nil, err
	}
	before := c.now().Add(-o.OlderThan)
	count := map[string]int{}
	return slices.DeleteFunc(ended, func(r run.Run) bool {
		if o.Target != "" && r.Target != o.Target || len(o.States) > 0 && !slices.Contains(o.States, r.State) {
			return true
		}
		count[r.Experiment]++
		return count[r.Experiment] <= o.KeepLast || !r.EndedAt.Before(before)
	}), nil
}

// leftThere are attempts that targets still hold something of.
type leftThere struct {
	on map[string]string // the target, by run
	// away are the targets that cannot say.
	away map[string]bool
	// wantedBy are unfinished runs, by the run that one of their inputs is of.
	wantedBy map[string]string
}

// stillThere asks the targets that can be asked.
func (c *Controller) stillThere(ctx context.Context) (leftThere, error) {
	l := leftThere{on: map[string]string{}, away: map[string]bool{}, wantedBy: map[string]string{}}
	active, err := c.store.List(ctx, store.Filter{ActiveOnly: true, Specs: true})
	if err != nil {
		return l, err
	}
	for _, r := range active {
		for _, from := range inputsFrom(r.Config) {
			l.wantedBy[from.Run] = r.ID
		}
	}
	for _, t := range c.allTargets() {
		s, ok := t.backend.(backends.Sweeper)
		if !ok {
			continue
		}
		if t.away() != "" {
			l.away[t.name] = true
			continue
		}
		refs, err := s.Marks(ctx)
		if err != nil {
			l.away[t.name] = true
			continue
		}
		for _, ref := range refs {
			l.on[ref.Run] = t.name
		}
	}
	return l, nil
}

// why a run must stay, or nothing: once it is forgotten, nobody clears up after
// it.
func (l leftThere) why(r *run.Run) string {
	if name, ok := l.on[r.ID]; ok {
		return "something of it is still on " + name
	}
	if by, ok := l.wantedBy[r.ID]; ok {
		return "what it left is an input of " + by
	}
	if l.away[r.Target] && r.Outcome != nil && *r.Outcome == run.OutcomeTargetUnreachable {
		return "something of it may be on " + r.Target + ", which cannot be reached"
	}
	return ""
}

// pruneRunDirs removes the directories of runs that are gone from the store,
// and those of runs that it does not have and that nobody touched since before:
// a prune that was cut left them. What an attempt is still in is left alone.
func (c *Controller) pruneRunDirs(ctx context.Context, gone map[string]bool, held leftThere, before time.Time) error {
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
			if err != nil || info.ModTime().After(before) || held.on[id] != "" || held.away[localTarget] {
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

// pruneSnapshots removes the snapshots here that no run refers to, when those
// in gone are left out.
func (c *Controller) pruneSnapshots(ctx context.Context, here *PrunedPlace, gone map[string]bool, o PruneOptions) error {
	stats, err := c.snapshots.Prune(ctx, snapshot.Policy{
		// One that was taken lately may wait for its submission.
		Before: c.now().Add(-max(o.OlderThan, submitWindow)), DryRun: o.DryRun,
		InUse: func() (map[snapshot.ID]bool, error) { return c.snapshotsInUse(ctx, gone) },
	})
	if err != nil {
		return fmt.Errorf("prune snapshots: %w", err)
	}
	here.add(backends.Freed{Kind: backends.PruneSnapshots, Count: stats.Snapshots, Bytes: stats.Bytes})
	return nil
}

func (c *Controller) snapshotsInUse(ctx context.Context, gone map[string]bool) (map[snapshot.ID]bool, error) {
	runs, err := c.store.List(ctx, store.Filter{Specs: true})
	if err != nil {
		return nil, err
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
		return nil, err
	}
	for _, e := range environments {
		if e.Resolved != nil && e.Resolved.Context != "" {
			wanted[snapshot.ID(e.Resolved.Context)] = true
		}
	}
	return wanted, nil
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
