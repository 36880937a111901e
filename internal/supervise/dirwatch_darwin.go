package supervise

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// dirWatch watches many supervised directories.
type dirWatch struct{ w *fsnotify.Watcher }

func newDirWatch() (*dirWatch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &dirWatch{w: w}, nil
}

func (w *dirWatch) add(dir string, _ bool) error { return w.w.Add(dir) }

func (w *dirWatch) remove(dir string) { _ = w.w.Remove(dir) } // gone with its directory already

func (w *dirWatch) close() error { return w.w.Close() }

// run calls changed for each directory that changed, with "" when events were
// lost, until ctx ends or the watch is closed.
func (w *dirWatch) run(ctx context.Context, changed func(dir string)) error {
	for {
		select {
		case e, ok := <-w.w.Events:
			if !ok {
				return fsnotify.ErrClosed
			}
			changed(filepath.Dir(e.Name))
		case err, ok := <-w.w.Errors:
			if !ok {
				return fsnotify.ErrClosed
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return err
			}
			changed("")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
