package onhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/runnerml/runner/internal/flock"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// The conversation about a snapshot:
//
//	machine   hello: is it there, or what is like it
//	we        plan, and the manifest: as what another has not, or whole
//	machine   wanted, and the digests of contents; we send these
//	machine   progress, and in the end done
//
// What the machine has is not asked for.

// hello is what a verb finds first.
type hello struct {
	// Have: the machine's store has the snapshot's manifest.
	Have bool `json:"have"`
	// There: what was to be kept is there already.
	There bool `json:"there,omitempty"`
	// Bases are snapshots whose manifests the machine has, and working copies.
	Bases []snapshot.ID `json:"bases,omitempty"`
}

// plan says how the manifest comes.
type plan struct {
	// Base of the delta; empty: it is whole.
	Base snapshot.ID `json:"base,omitempty"`
}

const (
	markPlan   = 'm'
	markWanted = 'n'
)

const (
	// maxManifest bounds the manifest that we are sent.
	maxManifest = 128 << 20
	// maxBases bounds what is read of manifests to find one that is like ours.
	maxBases = 4
)

// receiver is the machine's side of it.
type receiver struct {
	store *snapshot.Store
	dir   string // the store's
	id    snapshot.ID
	in    *listener
	out   *speaker
	end   func()
}

// newReceiver opens the store. The context that it gives ends when nobody speaks
// with us any more.
func (t *taking) newReceiver(ctx context.Context, store, id string, in *listener, out *speaker) (*receiver, context.Context, error) {
	parsed, err := snapshot.ParseID(id)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	r := &receiver{dir: store, id: parsed, out: out}
	if r.store, err = t.open(store); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ahead, feed := io.Pipe()
	go func() {
		_, err := io.Copy(feed, in.r)
		cancel(ErrCut)
		_ = feed.CloseWithError(err) // always nil
	}()
	r.in = &listener{r: bufio.NewReaderSize(ahead, dataFrame)}
	r.end = func() {
		cancel(nil)
		_ = ahead.Close() // always nil
	}
	return r, ctx, nil
}

// manifest finds that of the snapshot, or has it sent. base is the snapshot of
// the offers that it is like, if that is known.
func (r *receiver) manifest(ctx context.Context, offers []workcopy.Offer) (m *snapshot.Manifest, base snapshot.ID, err error) {
	m, err = r.store.Manifest(ctx, r.id)
	var corrupt *snapshot.CorruptError
	switch {
	case err == nil:
		// An attempt wants it, and says so in its record: whoever prunes from now
		// on sees that.
		if err := r.store.Touch(ctx, r.id); err != nil && !errors.Is(err, snapshot.ErrNotFound) {
			return nil, "", err
		}
		return m, "", r.out.value(markHello, hello{Have: true})
	case !errors.Is(err, snapshot.ErrNotFound) && !errors.As(err, &corrupt):
		return nil, "", err
	}
	found := hello{}
	seen := map[snapshot.ID]bool{}
	for _, o := range offers {
		if !seen[o.ID] && r.store.Has(o.ID) && len(found.Bases) < maxBases {
			found.Bases = append(found.Bases, o.ID)
		}
		seen[o.ID] = true
	}
	if err := r.out.value(markHello, found); err != nil {
		return nil, "", err
	}
	var as plan
	if err := r.in.value(markPlan, &as); err != nil {
		return nil, "", err
	}
	data, err := io.ReadAll(io.LimitReader(r.in.stream(), maxManifest+1))
	if err != nil {
		return nil, "", err
	}
	if m, err = r.read(ctx, data, as.Base); err != nil {
		return nil, "", err
	}
	if m.ID != r.id {
		return nil, "", fmt.Errorf("the manifest that came is of %s: %w", m.ID, errFrame)
	}
	return m, as.Base, nil
}

func (r *receiver) read(ctx context.Context, data []byte, base snapshot.ID) (*snapshot.Manifest, error) {
	if base == "" {
		m := &snapshot.Manifest{}
		return m, m.UnmarshalBinary(data)
	}
	b, err := r.store.Manifest(ctx, base)
	if err != nil {
		return nil, err
	}
	return b.Apply(data)
}

// fetch has sent what the store lacks. Those who take the same snapshot in wait
// for each other, and then see what is still missing.
func (r *receiver) fetch(ctx context.Context, m *snapshot.Manifest, renewal *snapshot.Renewal) (err error) {
	lock, err := flock.File(ctx, filepath.Join(r.dir, "taking-"+m.ID.Hex()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	missing, err := renewal.Missing(ctx)
	if err != nil || len(missing) == 0 && r.store.Has(m.ID) {
		return err
	}
	receiving, err := r.store.Receive(ctx, m, missing)
	if err != nil {
		return err
	}
	defer receiving.Close()
	if len(missing) == 0 {
		return receiving.Import(ctx, nil)
	}
	if err := r.out.frame(markWanted, nil); err != nil {
		return err
	}
	said := r.out.stream()
	if _, err := said.Write(encodeWants(receiving.Wants())); err != nil {
		return err
	}
	if err := said.Close(); err != nil {
		return err
	}
	stream := r.in.stream()
	if err := receiving.Import(ctx, stream); err != nil {
		return err
	}
	return stream.rest()
}

func (r *receiver) progress(p snapshot.Progress) {
	_ = r.out.value(markProgress, p) // whoever is gone needs none
}
