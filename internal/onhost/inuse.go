package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
)

// inUse is what the attempts of a root need.
type inUse struct {
	snapshots map[snapshot.ID]bool
	inputs    map[string]bool // by their names in the cache
	bins      []string
	// anyBin: an attempt does not say which of our programs it has.
	anyBin bool
}

// attemptRecord is what we read of an attempt's attempt.json (machine.record).
type attemptRecord struct {
	Snapshot snapshot.ID `json:"snapshot"`
	Bin      string      `json:"bin"`
	// Holds are the keys of the inputs that it has, or is about to have.
	Holds  []string `json:"holds"`
	Inputs []struct {
		Source string `json:"source"`
	} `json:"inputs"`
}

// snapshotPrefix and an input's key are the snapshot that it came as.
const snapshotPrefix = "sha256:"

// errUnclear is an attempt that runs and does not say what it needs.
var errUnclear = errors.New("it runs, and its record cannot be read: nothing is removed")

// usedBy reads the records of all attempts. An attempt writes down what it
// needs before it asks for it.
func usedBy(root string) (inUse, error) {
	used := inUse{snapshots: map[snapshot.ID]bool{}, inputs: map[string]bool{}}
	attempts, err := filepath.Glob(filepath.Join(escapeGlob(root), runsDir, "*", "attempts", "*"))
	if err != nil {
		return used, err
	}
	for _, dir := range attempts {
		data, err := os.ReadFile(filepath.Join(dir, "attempt.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return used, err
		}
		var r attemptRecord
		if err != nil || json.Unmarshal(data, &r) != nil {
			// Cut by a power failure, or on its way out: nothing is started from
			// it, and nothing should run of it.
			if supervise.StatusOf(filepath.Join(dir, "sup")).Phase == supervise.Running {
				return used, fmt.Errorf("attempt %s: %w", dir, errUnclear)
			}
			continue
		}
		used.add(root, r)
	}
	return used, nil
}

func (u *inUse) add(root string, r attemptRecord) {
	u.snapshots[r.Snapshot] = true
	if r.Bin == "" {
		u.anyBin = true
	}
	u.bins = append(u.bins, r.Bin)
	for _, key := range r.Holds {
		u.inputs[key] = true
		id, err := snapshot.ParseID(snapshotPrefix + key)
		if _, there := os.Lstat(filepath.Join(root, InputsDir, key)); err == nil && there != nil {
			u.snapshots[id] = true // it is on its way into the cache
		}
	}
	for _, i := range r.Inputs {
		if rel, err := filepath.Rel(filepath.Join(root, InputsDir), i.Source); err == nil && filepath.IsLocal(rel) {
			key, _, _ := strings.Cut(rel, string(filepath.Separator))
			u.inputs[key] = true
		}
	}
}

// OwnerError is a root that belongs to another installation.
type OwnerError struct {
	Root string
	// Installation that it belongs to, the target's name there, and who that is.
	Installation, Target, By string
}

func (e *OwnerError) Error() string {
	who := "installation " + e.Installation
	if e.By != "" {
		who = e.By + " (" + who + ")"
	}
	return fmt.Sprintf("the machine is attached as %q by %s now: %s is not ours", e.Target, who, e.Root)
}

// checkOwner refuses a root that another installation has claimed.
func checkOwner(root, installation string) error {
	data, err := os.ReadFile(filepath.Join(root, "claim.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // this computer's own, or not attached
	}
	if err != nil {
		return err
	}
	var claim struct {
		Installation string `json:"installation"`
		Target       string `json:"target"`
		By           string `json:"by"`
	}
	if err := json.Unmarshal(data, &claim); err != nil {
		return fmt.Errorf("claim of %s: %w", root, err)
	}
	if claim.Installation != installation {
		return &OwnerError{Root: root, Installation: claim.Installation, Target: claim.Target, By: claim.By}
	}
	return nil
}
