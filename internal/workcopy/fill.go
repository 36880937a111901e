package workcopy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/runnerml/runner/internal/snapshot"
)

const (
	// A copy with fewer files, and fewer bytes, is made as fast as it is looked
	// through.
	fewFiles = 500
	fewBytes = 64 << 20
)

// worthwhile says whether copies of such a snapshot are kept.
func worthwhile(t snapshot.Totals) bool { return t.Files >= fewFiles || t.Bytes >= fewBytes }

// Fill makes p.Dir, which is not there, hold a snapshot of the store. Progress
// may be nil.
func (s *Shelf) Fill(ctx context.Context, id snapshot.ID, p Place, progress func(snapshot.Progress)) error {
	m, err := s.store.Manifest(ctx, id)
	if err != nil {
		return err
	}
	f := &Filling{Manifest: m, Base: s.Nearest(ctx, m), Place: p, Progress: progress}
	return s.Carry(ctx, f)
}

// Near says whether most of a snapshot is in another, so that a copy of that one
// is of use.
func Near(m, base *snapshot.Manifest) bool {
	const half = 2
	return m.Shares(base)*half >= m.Totals().Files
}

// Nearest looks for a copy that most of a snapshot is in, and gives what it
// holds; empty: there is none.
func (s *Shelf) Nearest(ctx context.Context, m *snapshot.Manifest) snapshot.ID {
	if !worthwhile(m.Totals()) || s.boot == "" {
		return ""
	}
	offers, err := s.Offers()
	if err != nil {
		return "" // it does without
	}
	for _, o := range offers {
		if o.ID == m.ID {
			return o.ID
		}
	}
	looked := map[snapshot.ID]bool{}
	for _, o := range offers {
		if looked[o.ID] {
			continue
		}
		looked[o.ID] = true
		if base, err := s.store.Manifest(ctx, o.ID); err == nil && Near(m, base) {
			return o.ID
		}
	}
	return ""
}

// Filling is one making of a working directory.
type Filling struct {
	// Manifest of the snapshot that is wanted, checked.
	Manifest *snapshot.Manifest
	// Base is the snapshot that a copy on the shelf should have; empty: none is
	// to be used.
	Base  snapshot.ID
	Place Place
	// Fetch brings what the store lacks of what must be made; nil: it lacks
	// nothing.
	Fetch func(context.Context, *snapshot.Renewal) error
	// Progress may be nil.
	Progress func(snapshot.Progress)
}

// Carry carries a filling out. When it fails a copy that it took is put back.
func (s *Shelf) Carry(ctx context.Context, f *Filling) error {
	keep := s.boot != "" && worthwhile(f.Manifest.Totals()) && showsChanges(filepath.Dir(f.Place.Dir))
	if keep && f.Base != "" {
		done, err := s.reuse(ctx, f)
		if done || err != nil {
			return err
		}
	}
	c, _, err := f.renew(ctx, s.store, nil)
	if err != nil || !keep {
		return err
	}
	return s.writeList(c, f.Place.List)
}

// reuse makes the directory out of a copy, if there is one that can be used.
func (s *Shelf) reuse(ctx context.Context, f *Filling) (done bool, err error) {
	offers, err := s.Offers()
	if err != nil {
		return false, err
	}
	var was *snapshot.Copy
	for _, o := range offers {
		if o.ID != f.Base {
			continue
		}
		if was, err = s.take(ctx, o, f.Place.Unit); err != nil {
			return false, fmt.Errorf("take a working copy: %w", err)
		}
		if was != nil {
			break
		}
	}
	if was == nil {
		return false, nil
	}
	if err := os.Rename(filepath.Join(f.Place.Unit, treeName), f.Place.Dir); err != nil {
		return false, errors.Join(err, remove(context.WithoutCancel(ctx), f.Place.Unit))
	}
	c, cut, err := f.renew(ctx, s.store, was)
	switch {
	case cut || ctx.Err() != nil:
		return false, errors.Join(err, s.putBack(context.WithoutCancel(ctx), f.Place, was))
	case err != nil:
		return false, f.drop(ctx) // whatever was done to it, a new one is not
	}
	if err := s.writeList(c, f.Place.List); err != nil {
		return false, err
	}
	return true, remove(ctx, f.Place.Unit)
}

// renew makes a copy hold what is wanted. cut says that it could not be fetched.
func (f *Filling) renew(ctx context.Context, store *snapshot.Store, was *snapshot.Copy) (c *snapshot.Copy, cut bool, err error) {
	r, err := store.Renew(ctx, f.Place.Dir, was, f.Manifest)
	if err != nil {
		return nil, false, err
	}
	if f.Fetch != nil {
		if err := f.Fetch(ctx, r); err != nil {
			return nil, true, err
		}
	}
	c, err = r.Apply(ctx, f.Progress)
	return c, false, err
}

// drop removes a copy that cannot be used.
func (f *Filling) drop(ctx context.Context) error {
	return errors.Join(remove(ctx, f.Place.Dir), remove(ctx, f.Place.Unit))
}

// putBack gives the shelf a copy whose filling failed. What was made or removed
// of it shows when the next one looks.
func (s *Shelf) putBack(ctx context.Context, p Place, was *snapshot.Copy) error {
	if err := os.Rename(p.Dir, filepath.Join(p.Unit, treeName)); err != nil {
		return errors.Join(err, remove(ctx, p.Dir), remove(ctx, p.Unit))
	}
	return s.shelve(ctx, p.Unit, was)
}
