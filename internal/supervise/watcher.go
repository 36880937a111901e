package supervise

import (
	"context"
	"fmt"
	"path/filepath"
)

// Watcher says when supervised directories of this computer change: started,
// ended, supervisor gone. One of them serves any number of directories and
// costs nothing while they only write their logs.
type Watcher struct{ w *dirWatch }

// NewWatcher watches nothing yet. Close or Run's end frees it.
func NewWatcher() (*Watcher, error) {
	w, err := newDirWatch()
	if err != nil {
		return nil, fmt.Errorf("watch supervised directories: %w", err)
	}
	return &Watcher{w: w}, nil
}

// Add watches a directory, which must exist. What changed before is not told:
// ask for its Status after Add.
func (w *Watcher) Add(dir string) error { return w.w.add(filepath.Clean(dir), false) }

// Remove watches a directory no more. One that is not watched is fine.
func (w *Watcher) Remove(dir string) { w.w.remove(filepath.Clean(dir)) }

// Run calls changed for each directory that may have changed, and with "" when
// it may be any, until ctx ends. It is called once; changed must not block.
func (w *Watcher) Run(ctx context.Context, changed func(dir string)) error {
	return w.w.run(ctx, changed)
}

// Close ends Run.
func (w *Watcher) Close() error { return w.w.close() }

// Watch watches dirs until ctx ends.
func Watch(ctx context.Context, dirs []string, changed func(dir string)) error {
	w, err := NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // closed twice when ctx ended
	for _, dir := range dirs {
		if err := w.Add(dir); err != nil {
			return err
		}
	}
	return w.Run(ctx, changed)
}
