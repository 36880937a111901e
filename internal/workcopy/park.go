package workcopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/snapshot"
)

// Park takes a working directory back that nobody uses any more: it is made what
// it was at first, and put on the shelf. It says whether that was done; when not
// the directory is for the caller to remove. Cut anywhere, it can be done again.
func (s *Shelf) Park(ctx context.Context, p Place) (bool, error) {
	was, err := readList(p.List)
	if err != nil || was.Boot != s.boot || s.boot == "" {
		return false, nil //nolint:nilerr // then it is not taken back
	}
	if !showsChanges(p.Dir) || !roomFor(p.Dir, was.Totals.Bytes) || inUse(ctx, p.Dir) {
		return false, ctx.Err()
	}
	c, err := s.mend(ctx, p.Dir, was)
	if err != nil || c == nil {
		// Whatever was done to it, it can still be removed.
		return false, ctx.Err()
	}
	fresh := p.List + ".new"
	if err := s.writeList(c, fresh); err != nil {
		return false, ctx.Err()
	}
	if err := remove(ctx, p.Unit); err != nil {
		return false, err
	}
	const private = 0o700
	err = errors.Join(os.Rename(fresh, p.List), os.Mkdir(p.Unit, private))
	if err == nil {
		err = os.Rename(p.List, filepath.Join(p.Unit, listName))
	}
	if err == nil {
		err = os.Rename(p.Dir, filepath.Join(p.Unit, treeName))
	}
	if err != nil {
		return false, fmt.Errorf("keep a working copy: %w", err)
	}
	if err := s.shelve(ctx, p.Unit, c, s.now()); err != nil {
		return false, err
	}
	_, err = s.Prune(ctx, Policy{Before: s.now().Add(-longest)})
	return true, err
}

// mend makes a directory hold again what it held; nil: too little is left of it.
func (s *Shelf) mend(ctx context.Context, dir string, was *snapshot.Copy) (*snapshot.Copy, error) {
	m, err := s.store.Manifest(ctx, was.ID)
	if err != nil {
		return nil, err
	}
	r, err := s.store.Renew(ctx, dir, was, m)
	if err != nil {
		return nil, err
	}
	const half = 2
	if r.Kept()*half < was.Totals.Files {
		return nil, nil //nolint:nilnil // see above
	}
	return r.Apply(ctx, nil)
}

// shelve gives a copy its place. On another file system it has none.
func (s *Shelf) shelve(ctx context.Context, unit string, c *snapshot.Copy, at time.Time) error {
	const private = 0o700
	if err := os.MkdirAll(s.dir, private); err != nil {
		return fmt.Errorf("keep a working copy: %w", err)
	}
	o := Offer{ID: c.ID, Files: c.Totals.Files, Bytes: c.Totals.Bytes, At: at}
	err := os.Rename(unit, filepath.Join(s.dir, o.text()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return remove(ctx, unit)
	}
	return err
}
