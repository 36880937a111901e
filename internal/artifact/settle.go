package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// touch notes that name's directory, and perhaps those above it, have a new entry.
// The caller holds mu.
func (d *Directory) touch(name string) {
	if d.touched == nil {
		d.touched = map[string]bool{}
	}
	for at := path.Dir(name); !d.touched[at]; at = path.Dir(at) {
		d.touched[at] = true
	}
}

// Settle makes the names durable, and drops what was only begun.
func (d *Directory) Settle(ctx context.Context) error {
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing came
	}
	if err != nil {
		return fmt.Errorf("settle artifacts: %w", err)
	}
	defer func() { _ = root.Close() }()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.touched {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := syncDirectory(root, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("settle artifacts: %w", err)
		}
		delete(d.touched, name)
	}
	return d.room.clear(root)
}

func syncDirectory(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// clear removes what is kept, unless somebody uses the room.
func (r *room) clear(root *os.Root) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := root.Lstat(incoming); errors.Is(err, fs.ErrNotExist) || r.users > 0 {
		return nil
	}
	f, err := openRoom(root)
	if err != nil {
		return fmt.Errorf("settle artifacts: %w", err)
	}
	err = nil
	if lockAlone(f) {
		err = root.RemoveAll(incoming)
	}
	return errors.Join(err, f.Close())
}
