package workcopy

import (
	"context"
	"errors"
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
	offers, err := s.Offers()
	if err != nil {
		return err
	}
	f := &Filling{Manifest: m, Base: s.Nearest(ctx, m, offers), Place: p, Progress: progress}
	return s.Carry(ctx, f)
}

// Near says whether most of a snapshot is in another, so that a copy of that one
// is of use.
func Near(m, base *snapshot.Manifest) bool {
	const half = 2
	return m.Shares(base)*half >= m.Totals().Files
}

// Nearest looks among the offers for a copy that most of a snapshot is in, and gives what it
// holds; empty: there is none.
func (s *Shelf) Nearest(ctx context.Context, m *snapshot.Manifest, offers []Offer) snapshot.ID {
	if !worthwhile(m.Totals()) || s.boot == "" {
		return ""
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
	// Ahead is a copy that was taken before Base was known; nil: there is none.
	Ahead *Ahead
	// Fetch brings what the store lacks of what must be made; nil: it lacks
	// nothing.
	Fetch func(context.Context, *snapshot.Renewal) error
	// Progress may be nil.
	Progress func(snapshot.Progress)
}

// keeps says whether copies can be told by what the file system there notes.
func (s *Shelf) keeps(p Place) bool { return s.boot != "" && showsChanges(filepath.Dir(p.Dir)) }

// Carry carries a filling out. When it fails a copy that it took is put back.
func (s *Shelf) Carry(ctx context.Context, f *Filling) error {
	keep := s.keeps(f.Place) && worthwhile(f.Manifest.Totals())
	if f.Ahead != nil && (!keep || f.Ahead.offer.ID != f.Base) {
		err := f.Ahead.PutBack(ctx)
		if f.Ahead = nil; err != nil {
			return err
		}
	}
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
	a := f.Ahead
	if a == nil {
		if a, err = s.bring(ctx, f.Place, func(o *Offer) bool { return o.ID == f.Base }); err != nil || a == nil {
			return false, err
		}
		a.look(ctx)
	}
	c, cut, err := f.renew(ctx, s.store, a)
	switch {
	case cut || ctx.Err() != nil:
		return false, errors.Join(err, a.PutBack(ctx))
	case err != nil:
		return false, a.drop(ctx) // whatever was done to it, a new one is not
	}
	if err := s.writeList(c, f.Place.List); err != nil {
		return false, err
	}
	return true, remove(ctx, f.Place.Unit)
}

// renew makes a copy hold what is wanted; a is nil: it is made anew. cut says
// that it could not be fetched.
func (f *Filling) renew(ctx context.Context, store *snapshot.Store, a *Ahead) (c *snapshot.Copy, cut bool, err error) {
	var r *snapshot.Renewal
	if a != nil {
		var found *snapshot.Looked
		if found, err = a.looked(); err == nil {
			r = store.RenewLooked(found, f.Manifest)
		}
	} else {
		r, err = store.Renew(ctx, f.Place.Dir, nil, f.Manifest)
	}
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
