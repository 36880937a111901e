package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
)

// The directories of a machine's root that are ours.
const (
	ObjectsDir = "objects"
	InputsDir  = "inputs"
)

// Pruned is what a prune of a machine freed, or would free.
type Pruned struct {
	Snapshots int   `json:"snapshots"`
	Inputs    int   `json:"inputs"`
	Bytes     int64 `json:"bytes"`
}

// inUse is what attempts on the machine need.
type inUse struct {
	snapshots map[snapshot.ID]bool
	inputs    map[string]bool // by their directory
}

// mainPrune removes snapshots and inputs that no attempt has and that were not
// used for a time.
func mainPrune(ctx context.Context, args []string, in *listener, out *speaker) error {
	flags := flag.NewFlagSet("prune", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dry := flags.Bool("dry-run", false, "")
	older := flags.Duration("older-than", 0, "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return fmt.Errorf("%w: a root directory is needed", errUsage)
	}
	root := flags.Arg(0)
	if err := absolute(root); err != nil {
		return err
	}
	ctx, cancel := untilCut(ctx, in)
	defer cancel(nil)
	used, err := usedBy(root)
	if err != nil {
		return err
	}
	store, err := snapshot.Open(filepath.Join(root, ObjectsDir))
	if err != nil {
		return err
	}
	before := time.Now().Add(-*older)
	stats, err := store.Prune(ctx, func(id snapshot.ID) bool {
		at, err := store.Used(id)
		return used.snapshots[id] || err != nil || !at.Before(before)
	}, *dry)
	if err != nil {
		return err
	}
	freed := Pruned{Snapshots: stats.Snapshots, Bytes: stats.Bytes}
	if err := pruneInputs(ctx, filepath.Join(root, InputsDir), used.inputs, before, *dry, &freed); err != nil {
		return err
	}
	return out.value(markDone, freed)
}

// usedBy reads the records of all attempts.
func usedBy(root string) (inUse, error) {
	used := inUse{snapshots: map[snapshot.ID]bool{}, inputs: map[string]bool{}}
	records, err := filepath.Glob(filepath.Join(escapeGlob(root), "runs", "*", "attempts", "*", "attempt.json"))
	if err != nil {
		return used, err
	}
	for _, name := range records {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return used, err
		}
		var r struct {
			Snapshot snapshot.ID `json:"snapshot"`
			Inputs   []struct {
				Source string `json:"source"`
			} `json:"inputs"`
		}
		if json.Unmarshal(data, &r) != nil {
			continue // cut by a power failure: nothing can be started from it
		}
		used.snapshots[r.Snapshot] = true
		for _, i := range r.Inputs {
			if rel, err := filepath.Rel(filepath.Join(root, InputsDir), i.Source); err == nil && filepath.IsLocal(rel) {
				used.inputs[firstPart(rel)] = true
			}
		}
	}
	return used, nil
}

func firstPart(rel string) string {
	for {
		dir := filepath.Dir(rel)
		if dir == "." {
			return rel
		}
		rel = dir
	}
}

func pruneInputs(ctx context.Context, dir string, used map[string]bool, before time.Time, dry bool, freed *Pruned) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	unlock, err := lockDirectory(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	here := host.NewHere(dir)
	defer func() { _ = here.Close() }() // nothing was spawned
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if used[e.Name()] || !info.ModTime().Before(before) {
			continue
		}
		name := filepath.Join(dir, e.Name())
		size, err := sizeOf(name)
		if err != nil {
			return err
		}
		freed.Inputs++
		freed.Bytes += size
		if dry {
			continue
		}
		if err := here.RemoveAll(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(root string) (total int64, err error) {
	err = filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// Prune frees what no attempt on the machine has and nobody used for so long.
func (c *Client) Prune(ctx context.Context, root string, older time.Duration, dry bool) (Pruned, error) {
	var freed Pruned
	args := []string{"prune", "--older-than", older.String()}
	if dry {
		args = append(args, "--dry-run")
	}
	err := c.again(ctx, "prune", func() error {
		return c.talk(ctx, append(args, root), func(in *listener, _ *speaker) error {
			return in.value(markDone, &freed)
		})
	})
	return freed, err
}
