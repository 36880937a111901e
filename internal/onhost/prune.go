package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/datacache"
	"github.com/runnerml/runner/internal/flock"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/workcopy"
)

// The directories of a machine's root that are ours.
const (
	ObjectsDir = "objects"
	InputsDir  = "inputs"
	runsDir    = "runs"
)

// Part is a kind of what a machine keeps.
type Part string

// The parts that are freed on the machine itself.
const (
	Snapshots Part = "snapshots"
	Inputs    Part = "inputs"
	// Copies are working directories kept for later attempts.
	Copies Part = "copies"
	// RunDirectories are what is left of runs that have ended: their
	// checkpoint directories.
	RunDirectories Part = "checkpoints"
	// Programs are copies of other versions of ours.
	Programs Part = "programs"
)

// Pruning says what may be freed on a machine.
type Pruning struct {
	Parts []Part `json:"parts"`
	// OlderThan is how long ago it was used last.
	OlderThan time.Duration `json:"older_than"`
	// MaxBytes is how much of a part may stay; what is in use always does. Not
	// in it: no limit.
	MaxBytes map[Part]int64 `json:"max_bytes,omitempty"`
	// Runs that have not ended: what is left of them stays.
	Runs []string `json:"runs,omitempty"`
	// Installation that asks: another's root is left alone.
	Installation string `json:"installation"`
	// Bin is our program there, which stays.
	Bin string `json:"bin"`
	// NotWithin: nothing is done when the machine was pruned in that time.
	NotWithin time.Duration `json:"not_within,omitempty"`
	DryRun    bool          `json:"dry_run,omitempty"`
}

// Pruned is what a prune of a machine freed, or would free.
type Pruned struct {
	Freed []FreedPart `json:"freed"`
	// Busy are the names in environments/ that processes there run from.
	Busy []string `json:"busy,omitempty"`
	// Skipped: it was pruned lately.
	Skipped bool `json:"skipped,omitempty"`
}

// FreedPart is what was freed of one part.
type FreedPart struct {
	Part  Part  `json:"part"`
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// mainPrune frees what nothing on this machine needs.
func mainPrune(ctx context.Context, args []string, in *listener, out *speaker) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: a root directory is needed", errUsage)
	}
	if err := absolute(args[0]); err != nil {
		return err
	}
	var p Pruning
	if err := in.value(markAsk, &p); err != nil {
		return err
	}
	ctx, cancel := untilCut(ctx, in)
	defer cancel(nil)
	pruned, err := Prune(ctx, args[0], p)
	if err != nil {
		return err
	}
	return out.value(markDone, pruned)
}

// stampName is the file in a root that was changed when it was pruned last.
const stampName = "pruned"

// Prune frees on this computer what nothing in a root needs. Cut in the middle
// it leaves nothing that looks whole and is not.
func Prune(ctx context.Context, root string, p Pruning) (Pruned, error) {
	if err := checkOwner(root, p.Installation); err != nil {
		return Pruned{}, err
	}
	stamp := filepath.Join(root, stampName)
	if p.NotWithin > 0 {
		if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < p.NotWithin {
			return Pruned{Skipped: true}, nil
		}
	}
	one := &pruning{Pruning: p, root: root, here: host.NewHere(root), before: time.Now().Add(-p.OlderThan)}
	defer func() { _ = one.here.Close() }() // nothing was spawned
	if err := one.run(ctx); err != nil {
		return one.done, err
	}
	if p.DryRun {
		return one.done, nil
	}
	const private = 0o600
	return one.done, os.WriteFile(stamp, nil, private)
}

// pruning is one Prune at work.
type pruning struct {
	Pruning
	root   string
	here   *host.Here
	before time.Time
	busy   map[string]bool // see busyIn
	done   Pruned
}

func (p *pruning) run(ctx context.Context) error {
	// One at a time: what one removes the other should not stumble over.
	lock, err := flock.Directory(ctx, p.root, flock.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Release()
	p.busy = busyIn(p.root)
	p.done.Busy = busyBelow(p.busy, environmentsDir)
	parts := map[Part]func(context.Context) (FreedPart, error){
		Snapshots: p.snapshots, Inputs: p.inputs, Copies: p.copies, RunDirectories: p.runDirectories, Programs: p.programs,
	}
	for _, part := range p.Parts {
		free := parts[part]
		if free == nil {
			return fmt.Errorf("%w: no part is called %q", errUsage, part)
		}
		freed, err := free(ctx)
		if freed.Part = part; freed.Count > 0 || freed.Bytes > 0 {
			p.done.Freed = append(p.done.Freed, freed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pruning) snapshots(ctx context.Context) (FreedPart, error) {
	store, err := snapshot.Open(filepath.Join(p.root, ObjectsDir))
	if err != nil {
		return FreedPart{}, err
	}
	stats, err := store.Prune(ctx, snapshot.Policy{
		Before: p.before, MaxBytes: p.MaxBytes[Snapshots], DryRun: p.DryRun,
		InUse: func() (map[snapshot.ID]bool, error) {
			used, err := usedBy(p.root)
			return used.snapshots, err
		},
	})
	return FreedPart{Count: stats.Snapshots, Bytes: stats.Bytes}, err
}

func (p *pruning) inputs(ctx context.Context) (freed FreedPart, err error) {
	items, err := datacache.Open(filepath.Join(p.root, InputsDir)).Prune(ctx, datacache.Policy{
		Before: p.before, MaxBytes: p.MaxBytes[Inputs], DryRun: p.DryRun, Remove: p.here.RemoveAll,
		InUse: func() (map[string]bool, error) {
			used, err := usedBy(p.root)
			for _, name := range busyBelow(p.busy, InputsDir) {
				used.inputs[name] = true
			}
			return used.inputs, err
		},
	})
	for _, i := range items {
		freed.Count++
		freed.Bytes += i.Bytes
	}
	return freed, err
}

func (p *pruning) copies(ctx context.Context) (FreedPart, error) {
	shelf := workcopy.Open(filepath.Join(p.root, workcopy.Dir), nil, "") // nothing is taken off
	freed, err := shelf.Prune(ctx, workcopy.Policy{Before: p.before, MaxBytes: p.MaxBytes[Copies], DryRun: p.DryRun})
	return FreedPart{Count: freed.Copies, Bytes: freed.Bytes}, err
}

func (p *pruning) programs(ctx context.Context) (freed FreedPart, err error) {
	used, err := usedBy(p.root)
	if err != nil || used.anyBin {
		return freed, err
	}
	unused, err := supervise.UnusedBins(ctx, p.here, time.Now().Add(-keptBin), append(used.bins, p.Bin)...)
	for _, b := range unused {
		freed.Count++
		freed.Bytes += b.Bytes
		if !p.DryRun {
			err = errors.Join(err, p.here.RemoveAll(ctx, b.Path))
		}
	}
	return freed, err
}

// keptBin is how long a version of our program stays that nothing uses: who put
// it there may be about to.
const keptBin = 24 * time.Hour

// Prune frees what nothing on the machine needs.
func (c *Client) Prune(ctx context.Context, root string, p Pruning) (Pruned, error) {
	var done Pruned
	err := c.again(ctx, "prune", func() error {
		return c.talk(ctx, []string{"prune", root}, func(in *listener, out *speaker) error {
			if err := out.value(markAsk, p); err != nil {
				return err
			}
			return in.value(markDone, &done)
		})
	})
	return done, err
}
