package attemptdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// Closing asks that an attempt's directory goes. Nothing of the attempt runs.
type Closing struct {
	// Dir is the directory. What is in it and not named below stays, and the
	// directory with it.
	Dir string `json:"dir"`
	// Park is what is kept for others before all else, if all that it names is
	// there; nil: nothing.
	Park *Parking `json:"park,omitempty"`
	// Begun are beginnings of names of what was never finished: they go first.
	Begun []string `json:"begun,omitempty"`
	// Names go in this order.
	Names []string `json:"names"`
	// Parents go when they are empty, in this order.
	Parents []string `json:"parents,omitempty"`
}

// Parking is a working directory that may be kept.
type Parking struct {
	Work string `json:"work"`
	List string `json:"list"`
	Unit string `json:"unit"`
}

// Closed is what came of it.
type Closed struct {
	// Stuck is what we may not remove, because others left files in it; empty:
	// all is gone. What comes after it is still there.
	Stuck string `json:"stuck,omitempty"`
}

// Close removes an attempt's directory. One that was cut is repeated as a whole.
// park keeps what may be kept; what cannot is removed like all else.
func Close(ctx context.Context, c Closing, park func(context.Context, Parking) error) (Closed, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Closed{}, err
	}
	if p := c.Park; p != nil && has(entries, p.Work) && has(entries, p.List) {
		if err := park(ctx, *p); err != nil {
			return Closed{}, err
		}
		if entries, err = os.ReadDir(c.Dir); err != nil {
			return Closed{}, err
		}
	}
	var names []string
	for _, e := range entries {
		if slices.ContainsFunc(c.Begun, func(begun string) bool { return strings.HasPrefix(e.Name(), begun) }) {
			names = append(names, e.Name())
		}
	}
	for _, name := range c.Names {
		if has(entries, name) {
			names = append(names, filepath.Base(name))
		}
	}
	here := host.NewHere(c.Dir)
	defer func() { _ = here.Close() }() // nothing was spawned
	for _, name := range names {
		name = filepath.Join(c.Dir, name)
		if err := here.RemoveAll(ctx, name); errors.Is(err, fs.ErrPermission) {
			return Closed{Stuck: name}, nil
		} else if err != nil {
			return Closed{}, err
		}
	}
	for _, dir := range append([]string{c.Dir}, c.Parents...) {
		rest, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || len(rest) > 0 {
			return Closed{}, err
		}
		if err := here.RemoveAll(ctx, dir); err != nil {
			return Closed{}, err
		}
	}
	return Closed{}, nil
}

// has reports whether a path's last part is among the entries of its directory.
func has(entries []fs.DirEntry, name string) bool {
	base := filepath.Base(name)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == base })
}
