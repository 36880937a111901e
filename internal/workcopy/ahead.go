package workcopy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/runnerml/runner/internal/snapshot"
)

// Ahead is a copy that was taken from the shelf and is being looked at, before
// it is known what it is to hold.
type Ahead struct {
	s     *Shelf
	place Place
	offer Offer
	was   *snapshot.Copy
	found *snapshot.Looked
	err   error
	done  chan struct{} // nil: nobody looks
	stop  context.CancelFunc
}

// TakeAhead takes the copy that will most likely be wanted, the one of that
// snapshot or else the latest, and begins to look at it. It is for a Filling of
// that place, or to be put back. Nil: there is none.
func (s *Shelf) TakeAhead(ctx context.Context, id snapshot.ID, p Place) (*Ahead, error) {
	if !s.keeps(p) {
		return nil, nil //nolint:nilnil // see above
	}
	a, err := s.bring(ctx, p, func(o *Offer) bool { return o.ID == id })
	if a == nil && err == nil {
		a, err = s.bring(ctx, p, func(*Offer) bool { return true })
	}
	if a == nil || err != nil {
		return nil, err
	}
	a.look(ctx)
	return a, nil
}

// bring takes the latest copy that is wanted to a place; nil: there is none.
func (s *Shelf) bring(ctx context.Context, p Place, wanted func(*Offer) bool) (*Ahead, error) {
	offers, err := s.Offers()
	if err != nil {
		return nil, err
	}
	for i := range offers {
		o := offers[i]
		if !wanted(&o) {
			continue
		}
		was, err := s.take(ctx, o, p.Unit)
		if err != nil {
			return nil, fmt.Errorf("take a working copy: %w", err)
		}
		if was == nil {
			continue // another was faster, or it cannot be used
		}
		if err := os.Rename(filepath.Join(p.Unit, treeName), p.Dir); err != nil {
			return nil, errors.Join(err, remove(context.WithoutCancel(ctx), p.Unit))
		}
		return &Ahead{s: s, place: p, offer: o, was: was}, nil
	}
	return nil, nil //nolint:nilnil // see above
}

func (a *Ahead) look(ctx context.Context) {
	ctx, a.stop = context.WithCancel(ctx)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		a.found, a.err = a.was.Look(ctx, a.place.Dir)
	}()
}

// looked waits until it was looked at.
func (a *Ahead) looked() (*snapshot.Looked, error) {
	<-a.done
	a.stop()
	return a.found, a.err
}

// PutBack gives the shelf a copy that is not used after all, or whose filling
// failed. What was made or removed of it shows when the next one looks.
func (a *Ahead) PutBack(ctx context.Context) error {
	a.stop()
	<-a.done
	ctx = context.WithoutCancel(ctx)
	if err := os.Rename(a.place.Dir, filepath.Join(a.place.Unit, treeName)); err != nil {
		return errors.Join(err, a.drop(ctx))
	}
	return a.s.shelve(ctx, a.place.Unit, a.was, a.offer.At)
}

// drop removes a copy that cannot be used.
func (a *Ahead) drop(ctx context.Context) error {
	return errors.Join(remove(ctx, a.place.Dir), remove(ctx, a.place.Unit))
}
