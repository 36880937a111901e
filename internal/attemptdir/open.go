package attemptdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

const (
	private  fs.FileMode = 0o700
	readable fs.FileMode = 0o600
)

// Opening asks for an attempt's directory.
type Opening struct {
	// Owner is the installation that the host's root must belong to, if it
	// belongs to one.
	Owner string `json:"owner,omitempty"`
	// Dirs are made, with their parents: the attempt's own and others it needs.
	Dirs []string `json:"dirs"`
	// Sup is its supervisor's directory.
	Sup string `json:"sup"`
	// Record is its record's file, and Content what it is to hold.
	Record  string `json:"record"`
	Content []byte `json:"content"`
	// Stale are what earlier ones may have left beside the record: they go.
	Stale []string `json:"stale,omitempty"`
	// Replace says that a record which is there is written anew.
	Replace bool `json:"replace,omitempty"`
	// Durable has the record flushed to the disk.
	Durable bool `json:"durable,omitempty"`
}

// Opened is what was found.
type Opened struct {
	// Status of its supervisor. Of what was started nothing is changed, nor is
	// more found out.
	Status supervise.Status `json:"status"`
	// Before is what its record said; nil: there was none.
	Before []byte `json:"before,omitempty"`
	// Written says that the record holds the content now. Else it is as before.
	Written bool `json:"written,omitempty"`
}

// Open makes an attempt's directory and writes its record, unless the attempt
// was started, or has one.
func Open(ctx context.Context, o Opening) (Opened, error) {
	found := Opened{Status: supervise.StatusOf(o.Sup)}
	if found.Status.Phase != supervise.Absent {
		return found, nil
	}
	for _, dir := range o.Dirs {
		if err := os.MkdirAll(dir, private); err != nil {
			return found, err
		}
	}
	before, err := os.ReadFile(o.Record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if err == nil {
		if found.Before = append([]byte{}, before...); !o.Replace {
			return found, nil
		}
	}
	if err := clearAll(ctx, filepath.Dir(o.Record), o.Stale); err != nil {
		return found, err
	}
	err = WriteRecord(ctx, o.Record, o.Content, o.Durable)
	found.Written = err == nil
	return found, err
}

// clearAll removes those of names that are there, all in one directory. Mostly
// there are none, which one look tells.
func clearAll(ctx context.Context, dir string, names []string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	here := host.NewHere(dir)
	defer func() { _ = here.Close() }() // nothing was spawned
	for _, e := range entries {
		if name := filepath.Join(dir, e.Name()); slices.Contains(names, name) {
			if err := here.RemoveAll(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteRecord writes a record whole or not at all. One that is not durable is
// not flushed to the disk, which would cost more than all the rest of a
// preparation: a computer that lost it has lost the attempt with it.
func WriteRecord(ctx context.Context, name string, data []byte, durable bool) error {
	if durable {
		here := host.NewHere(filepath.Dir(name))
		defer func() { _ = here.Close() }() // nothing was spawned
		return here.WriteFile(ctx, name, data, readable)
	}
	half := name + ".half"
	if err := os.WriteFile(half, data, readable); err != nil {
		return err
	}
	return os.Rename(half, name)
}
