package snapshot

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Receiving is the taking in of one snapshot that goes on where earlier ones
// were cut off. Close it.
type Receiving struct {
	s     *Store
	m     *Manifest
	parts map[Digest]*part // nobody else goes on with them
	wants []Want
}

// Receive begins to take in contents that the store lacks of a snapshot: what
// Missing of the store said, or of a Renewal. Its manifest was checked.
func (s *Store) Receive(ctx context.Context, m *Manifest, missing []Digest) (*Receiving, error) {
	r := &Receiving{s: s, m: m, parts: map[Digest]*part{}, wants: Whole(missing)}
	for i := range r.wants {
		w := &r.wants[i]
		if _, err := os.Stat(s.dirs.part(w.Digest)); err != nil {
			continue // of most there is none
		}
		p, err := s.openPart(ctx, w.Digest)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("look for what is missing: %w", err)
		}
		if p != nil { // else another receives it
			r.parts[w.Digest] = p
			w.Have, w.Sum = p.raw, p.digestNow()
		}
	}
	return r, nil
}

// Wants are the contents to be sent, in the manifest's order, each once: of
// large ones only what did not come before.
func (r *Receiving) Wants() []Want { return r.wants }

// Import reads what Send or Export made of the wants; nil will do when there are
// none. The snapshot becomes visible, even if the store lacks what was not wanted.
func (r *Receiving) Import(ctx context.Context, from io.Reader) error {
	v, err := r.s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer v.close()
	i := newImporting(v, from)
	needed := make([]Digest, len(r.wants))
	for at := range r.wants {
		needed[at] = r.wants[at].Digest
	}
	i.parts, i.manifest, i.data, i.sizes = r.parts, r.m, encodeManifest(r.m.Entries), r.m.sizesOf(needed)
	defer func() { i.writer.abort() }()
	if len(needed) > 0 {
		if err := i.read(ctx); err != nil {
			return i.failed(ctx, err)
		}
	}
	if i.manifest.ID != r.m.ID {
		return i.failed(ctx, &StreamError{Reason: "it is of another snapshot"})
	}
	if err := i.commit(ctx, needed); err != nil {
		return err
	}
	if file, err := os.Stat(r.s.dirs.manifest(r.m.ID)); err == nil {
		r.s.recent.keep(r.m, file) // the next one is told as what this one has not
	}
	return nil
}

// Close lets others go on with what is not whole.
func (r *Receiving) Close() {
	for _, p := range r.parts {
		p.close()
	}
}
