package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// segmentSize is how much an import keeps at a time, so that even a kill loses
// no more of a long transfer.
const segmentSize = 64 << 20

// Import reads what Export writes, from whomever: every content is checked
// against its digest, only what the manifest names is taken, and the snapshot
// becomes visible only when all of it is there. The disk it fills is bounded
// by what was received.
//
// When the stream ends early or is wrong, the whole blobs before that stay, so
// that Missing does not name them again, and of a large one what came of it, for
// Receive to go on with, also when we are killed. A StreamError says what was wrong; a
// MissingError that the stream was good but more is needed. r may be read
// beyond the stream's end.
func (s *Store) Import(ctx context.Context, r io.Reader) (ID, error) {
	v, err := s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return "", err
	}
	defer v.close()
	i := newImporting(v, r)
	defer func() { i.writer.abort() }()
	if err := i.read(ctx); err != nil {
		return "", i.failed(ctx, err)
	}
	if err := i.commit(ctx, v.missing(i.manifest)); err != nil {
		return "", err
	}
	return i.manifest.ID, nil
}

func newImporting(v *view, r io.Reader) *importing {
	return &importing{
		s: v.s, view: v, in: bufio.NewReaderSize(r, 1<<16), got: make(map[Digest]bool), writer: newPackWriter(v.s.dirs, time.Now()),
	}
}

// failed keeps what came before an error.
func (i *importing) failed(ctx context.Context, err error) error {
	return errors.Join(fmt.Errorf("import snapshot: %w", err), i.keep(context.WithoutCancel(ctx)))
}

// commit makes the snapshot visible, if all that it needs has come.
func (i *importing) commit(ctx context.Context, needed []Digest) error {
	lacking := 0
	for _, d := range needed {
		if !i.got[d] {
			lacking++
		}
	}
	if lacking > 0 {
		return errors.Join(&MissingError{ID: i.manifest.ID, Blobs: lacking}, i.keep(ctx))
	}
	_, err := i.s.commit(ctx, i.writer, i.manifest.ID, i.data)
	return err
}

// importing is one Import at work, of a store or of a Receiving.
type importing struct {
	s        *Store
	view     *view
	in       *bufio.Reader
	data     []byte    // the manifest's canonical bytes
	manifest *Manifest // before read only when it is known
	sizes    map[Digest]int64
	got      map[Digest]bool
	parts    map[Digest]*part // taken by Receive
	writer   *packWriter
	buf      scratch
}

// keep commits the blobs read so far, without a snapshot.
func (i *importing) keep(ctx context.Context) error {
	name, err := i.writer.commit(ctx)
	i.writer = newPackWriter(i.s.dirs, time.Now())
	if err != nil || name == "" {
		return err
	}
	return syncDir(i.s.dirs.packs())
}

func (i *importing) read(ctx context.Context) error {
	magic := make([]byte, len(streamMagic))
	if err := i.fill(magic); err != nil {
		return err
	}
	if string(magic) != streamMagic {
		return &StreamError{Reason: "not a snapshot, or of a newer version"}
	}
	if err := i.readManifest(); err != nil {
		return err
	}
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		mark, err := i.in.ReadByte()
		if err != nil {
			return ended(err)
		}
		switch mark {
		case blobMark, restMark:
			if err := i.readBlob(ctx, mark == restMark); err != nil {
				return err
			}
			if i.writer.written() >= segmentSize {
				if err := i.keep(ctx); err != nil {
					return err
				}
			}
		case endMark:
			n, err := i.number(maxManifest)
			if err != nil {
				return err
			}
			if n != uint64(len(i.got)) {
				return &StreamError{Reason: fmt.Sprintf("it brought %d blobs and says %d", len(i.got), n)}
			}
			return nil
		default:
			return &StreamError{Reason: fmt.Sprintf("unknown mark %q", mark)}
		}
	}
}

func (i *importing) readManifest() error {
	n, err := i.number(maxManifest)
	if err != nil {
		return err
	}
	var packed bytes.Buffer // grows with what comes, whatever length was claimed
	if n == 0 && i.manifest != nil {
		return nil // it is known
	}
	if _, err := io.CopyN(&packed, i.in, int64(n)); err != nil {
		return ended(err)
	}
	if i.data, err = i.s.codec.unpack(packed.Bytes()); err != nil {
		return &StreamError{Reason: "manifest: " + err.Error()}
	}
	if i.manifest, err = decodeManifest(i.data); err != nil {
		return &StreamError{Reason: "manifest: " + err.Error()}
	}
	i.sizes = i.manifest.blobs()
	return nil
}

// readBlob reads one blob, or the rest of it, and stores it, unless the store
// has it already.
func (i *importing) readBlob(ctx context.Context, rest bool) error {
	blob, have, err := i.readHead(rest)
	if err != nil {
		return err
	}
	_, there := i.view.find(blob.digest)
	if rest || !there && blob.size >= largeBlob {
		received, err := i.readPart(ctx, blob, rest, have)
		if received || err != nil {
			i.got[blob.digest] = err == nil
			return err
		}
	}
	off, stored := i.writer.mark()
	hash := sha256.New()
	err = i.readChunks(blob.digest, blob.size, func(stored, content []byte) error {
		hash.Write(content)
		if there {
			return nil
		}
		c, err := i.writer.chunk(stored, len(content))
		blob.chunks = append(blob.chunks, c)
		return err
	})
	if err == nil && Digest(hash.Sum(nil)) != blob.digest {
		err = wrongDigest(blob.digest)
	}
	if err != nil {
		return errors.Join(err, i.writer.rewind(off, stored))
	}
	i.got[blob.digest] = true
	if !there {
		i.writer.add(blob)
	}
	return nil
}

func wrongDigest(d Digest) error {
	return &StreamError{Reason: fmt.Sprintf("content %s has another digest", d)}
}

// readHead reads what a blob begins with; have is how much of it does not come.
func (i *importing) readHead(rest bool) (blob packBlob, have int64, err error) {
	if err := i.fill(blob.digest[:]); err != nil {
		return blob, 0, err
	}
	d := blob.digest
	size, err := i.number(maxFileSize)
	if err != nil {
		return blob, 0, err
	}
	blob.size = int64(size)
	if want, ok := i.sizes[d]; !ok || want != blob.size {
		return blob, 0, &StreamError{Reason: fmt.Sprintf("content %s of %d bytes is not in its manifest", d, size)}
	}
	if i.got[d] {
		return blob, 0, &StreamError{Reason: fmt.Sprintf("content %s comes twice", d)}
	}
	if !rest {
		return blob, 0, nil
	}
	begin, err := i.number(size)
	return blob, int64(begin), err
}

// readPart receives a large blob in a file of its own. received is false when
// another receives it now.
func (i *importing) readPart(ctx context.Context, blob packBlob, rest bool, have int64) (received bool, err error) {
	p := i.parts[blob.digest]
	if p == nil {
		if rest {
			return true, &StreamError{Reason: fmt.Sprintf("content %s: its beginning is not here", blob.digest)}
		}
		if p, err = i.s.openPart(ctx, blob.digest); p == nil || err != nil {
			return false, err
		}
		defer p.close()
	}
	if !rest {
		if err := p.reset(); err != nil {
			return true, fmt.Errorf("begin part: %w", err)
		}
	}
	if p.raw != have {
		return true, &StreamError{Reason: fmt.Sprintf("content %s: %d bytes of it are here, %d do not come", blob.digest, p.raw, have)}
	}
	err = i.readChunks(blob.digest, blob.size-have, p.append)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return true, errors.Join(err, p.drop()) // others need the room
	}
	if err != nil {
		return true, err // what came stays
	}
	if p.digestNow() != blob.digest {
		return true, errors.Join(wrongDigest(blob.digest), p.drop())
	}
	return true, p.become(ctx, i.s.dirs)
}

// readChunks reads so many bytes of content and gives each chunk to take.
func (i *importing) readChunks(d Digest, left int64, take func(stored, content []byte) error) error {
	for left > 0 {
		stored, err := i.number(chunkSize)
		if err != nil {
			return err
		}
		raw, err := i.number(chunkSize)
		if err != nil {
			return err
		}
		if raw == 0 || int64(raw) > left || stored > raw {
			return &StreamError{Reason: fmt.Sprintf("content %s: impossible chunk", d)}
		}
		i.buf.stored = grow(i.buf.stored, int(stored))
		if err := i.fill(i.buf.stored); err != nil {
			return err
		}
		content, err := i.s.codec.restore(i.buf.stored, uint32(raw), i.buf.raw)
		if err != nil {
			return &StreamError{Reason: fmt.Sprintf("content %s: %v", d, err)}
		}
		if stored < raw {
			i.buf.raw = content
		}
		if err := take(i.buf.stored, content); err != nil {
			return err
		}
		left -= int64(raw)
	}
	return nil
}

func (i *importing) fill(b []byte) error {
	_, err := io.ReadFull(i.in, b)
	return ended(err)
}

func (i *importing) number(limit uint64) (uint64, error) {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		c, err := i.in.ReadByte()
		if err != nil {
			return 0, ended(err)
		}
		n |= uint64(c&0x7f) << shift
		if c >= 0x80 {
			continue
		}
		if n > limit {
			break
		}
		return n, nil
	}
	return 0, &StreamError{Reason: fmt.Sprintf("a number is over the limit of %d", limit)}
}

// ended makes an early end of the stream say so.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &StreamError{Reason: "it was cut short"}
	}
	return err
}
