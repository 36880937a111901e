package snapshot

import (
	"bufio"
	"context"
	"crypto/sha256"
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
// size. Of one whose beginning the other side has, the mark is another, and the
// length of that beginning follows the size; its chunks do not come. The end is
// its mark and the number of blobs. What is sent to somebody who has the manifest
// has none: its length is 0.
const (
	streamMagic = "runner-stream 1\n"
	blobMark    = 'b'
	restMark    = 'r'
	endMark     = 'e'
)

// Want is a content that a store lacks.
type Want struct {
	Digest Digest
	// Have is how many bytes of its beginning are there, and Sum their digest.
	Have int64
	Sum  Digest
}

// Whole are contents of which nothing is there.
func Whole(digests []Digest) []Want {
	wants := make([]Want, len(digests))
	for i, d := range digests {
		wants[i].Digest = d
	}
	return wants
}

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
// blobs that are wanted (what Missing or Wants said on the other side). Of a
// beginning that is there only the rest is sent, when it is that of the content.
func (s *Store) Export(ctx context.Context, w io.Writer, id ID, want []Want) error {
	m, err := s.Manifest(ctx, id)
	if err != nil {
		return err
	}
	packed, err := s.codec.pack(encodeManifest(m.Entries))
	if err != nil {
		return err
	}
	return s.export(ctx, w, packed, m, want)
}

// Send writes a stream for a Receiving: Export's without the manifest, which the
// other side has.
func (s *Store) Send(ctx context.Context, w io.Writer, m *Manifest, want []Want) error {
	return s.export(ctx, w, nil, m, want)
}

func (s *Store) export(ctx context.Context, w io.Writer, packed []byte, m *Manifest, want []Want) error {
	v, err := s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer v.close()
	sizes := m.blobs()
	for i := range want {
		if _, ok := sizes[want[i].Digest]; !ok {
			return fmt.Errorf("export snapshot %s: content %s is not part of it", m.ID, want[i].Digest)
		}
		v.find(want[i].Digest) // opens its pack
	}
	v.unlock() // the other side may be slow
	if err := v.send(ctx, w, packed, sizes, want); err != nil {
		return fmt.Errorf("export snapshot: %w", err)
	}
	return nil
}

func (v *view) send(ctx context.Context, w io.Writer, manifest []byte, sizes map[Digest]int64, want []Want) error {
	out := bufio.NewWriterSize(w, writeSize)
	head := binary.AppendUvarint([]byte(streamMagic), uint64(len(manifest)))
	if _, err := out.Write(append(head, manifest...)); err != nil {
		return err
	}
	sent := make(map[Digest]bool, len(want))
	var buf scratch
	for i := range want {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		d := want[i].Digest
		if sent[d] {
			continue
		}
		sent[d] = true
		if err := v.sendBlob(out, want[i], sizes[d], &buf); err != nil {
			return err
		}
	}
	if _, err := out.Write(binary.AppendUvarint([]byte{endMark}, uint64(len(sent)))); err != nil {
		return err
	}
	return out.Flush()
}

// sendBlob checks the blob first: what went into the stream cannot be taken
// back. The same reading tells whether what the other side has is its beginning.
func (v *view) sendBlob(out *bufio.Writer, want Want, size int64, buf *scratch) error {
	d := want.Digest
	begins, err := v.begins(want, size, buf)
	if err != nil {
		return err
	}
	var from int64
	head := append([]byte{blobMark}, d[:]...)
	if begins {
		from, head[0] = want.Have, restMark
	}
	head = binary.AppendUvarint(head, uint64(size))
	if begins {
		head = binary.AppendUvarint(head, uint64(from))
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	at, ok := v.find(d)
	if !ok {
		return v.blob(d, size, buf, discard) // damaged this very moment
	}
	return v.copyBlob(at, buf, func(off int64, raw, stored []byte) error {
		if off < from {
			return nil
		}
		head = binary.AppendUvarint(head[:0], uint64(len(stored)))
		head = binary.AppendUvarint(head, uint64(len(raw)))
		if _, err := out.Write(head); err != nil {
			return err
		}
		_, err := out.Write(stored)
		return err
	})
}

// begins checks a blob, and says whether it begins with what the other side has.
func (v *view) begins(want Want, size int64, buf *scratch) (bool, error) {
	if want.Have <= 0 || want.Have > size || want.Have%chunkSize != 0 && want.Have != size {
		return false, v.blob(want.Digest, size, buf, discard)
	}
	sum := sha256.New()
	var hashed int64
	err := v.blob(want.Digest, size, buf, func(off int64, raw, _ []byte) error {
		if off == 0 { // perhaps again, of another copy
			sum.Reset()
			hashed = 0
		}
		if off < want.Have {
			sum.Write(raw)
			hashed += int64(len(raw))
		}
		return nil
	})
	return hashed == want.Have && Digest(sum.Sum(nil)) == want.Sum, err
}
