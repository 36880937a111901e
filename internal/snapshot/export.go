package snapshot

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// A stream is
//
//	magic | length, compressed manifest | blobs | end
//
// A blob is its mark, its digest, its size and its chunks as they are stored,
// each with its stored and its raw length, until their raw lengths make the
// size. The end is its mark and the number of blobs.
const (
	streamMagic = "runner-stream 1\n"
	blobMark    = 'b'
	endMark     = 'e'
)

// Missing lists the contents that a snapshot has and the store has not, in the
// manifest's order, each once.
func (s *Store) Missing(ctx context.Context, m *Manifest) ([]Digest, error) {
	v, err := s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer v.close()
	return v.missing(m), nil
}

func (v *view) missing(m *Manifest) []Digest {
	var list []Digest
	seen := make(map[Digest]bool, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Kind != KindFile || e.Size == 0 || seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		if at, ok := v.find(e.Digest); !ok || at.size != e.Size {
			list = append(list, e.Digest)
		}
	}
	return list
}

// Export writes a stream for Import: the snapshot's manifest and those of its
// blobs that are wanted (what Missing said on the other side).
func (s *Store) Export(ctx context.Context, w io.Writer, id ID, want []Digest) error {
	v, err := s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer v.close()
	m, err := s.Manifest(ctx, id)
	if err != nil {
		return err
	}
	packed, err := s.codec.pack(encodeManifest(m.Entries))
	if err != nil {
		return err
	}
	sizes := m.blobs()
	for _, d := range want {
		if _, ok := sizes[d]; !ok {
			return fmt.Errorf("export snapshot %s: content %s is not part of it", id, d)
		}
		v.find(d) // opens its pack
	}
	v.unlock() // the other side may be slow
	if err := v.send(ctx, w, packed, sizes, want); err != nil {
		return fmt.Errorf("export snapshot: %w", err)
	}
	return nil
}

func (v *view) send(ctx context.Context, w io.Writer, manifest []byte, sizes map[Digest]int64, want []Digest) error {
	out := bufio.NewWriterSize(w, writeSize)
	head := binary.AppendUvarint([]byte(streamMagic), uint64(len(manifest)))
	if _, err := out.Write(append(head, manifest...)); err != nil {
		return err
	}
	sent := make(map[Digest]bool, len(want))
	var buf scratch
	for _, d := range want {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if sent[d] {
			continue
		}
		sent[d] = true
		if err := v.sendBlob(out, d, sizes[d], &buf); err != nil {
			return err
		}
	}
	if _, err := out.Write(binary.AppendUvarint([]byte{endMark}, uint64(len(sent)))); err != nil {
		return err
	}
	return out.Flush()
}

// sendBlob checks the blob first: what went into the stream cannot be taken
// back.
func (v *view) sendBlob(out *bufio.Writer, d Digest, size int64, buf *scratch) error {
	if err := v.blob(d, size, buf, discard); err != nil {
		return err
	}
	if _, err := out.Write(binary.AppendUvarint(append([]byte{blobMark}, d[:]...), uint64(size))); err != nil {
		return err
	}
	at, ok := v.find(d)
	if !ok {
		return v.blob(d, size, buf, discard) // damaged this very moment
	}
	var head []byte
	return v.copyBlob(at, buf, func(_ int64, raw, stored []byte) error {
		head = binary.AppendUvarint(head[:0], uint64(len(stored)))
		head = binary.AppendUvarint(head, uint64(len(raw)))
		if _, err := out.Write(head); err != nil {
			return err
		}
		_, err := out.Write(stored)
		return err
	})
}
