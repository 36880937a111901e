package snapshot

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Receiving is the taking in of one snapshot that goes on where earlier ones
// were cut off. Close it.
type Receiving struct {
	s     *Store
	parts map[Digest]*part // nobody else goes on with them
	wants []Want
}

// Receive looks for what a snapshot has and the store has not.
func (s *Store) Receive(ctx context.Context, m *Manifest) (*Receiving, error) {
	missing, err := s.Missing(ctx, m)
	if err != nil {
		return nil, err
	}
	r := &Receiving{s: s, parts: map[Digest]*part{}, wants: Whole(missing)}
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

// Import is the store's Import of what Export made of the wants.
func (r *Receiving) Import(ctx context.Context, from io.Reader) (ID, error) {
	return r.s.receive(ctx, from, r.parts)
}

// Close lets others go on with what is not whole.
func (r *Receiving) Close() {
	for _, p := range r.parts {
		p.close()
	}
}
