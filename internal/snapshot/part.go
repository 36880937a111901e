package snapshot

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A large blob that is being received is a file of its own from the beginning:
// a pack that lacks its index, and beside it the lengths of its chunks, each
// written after its chunk. Whatever cuts the transfer, what came is there, is
// checked, and need not come again.
const (
	// largeBlob is from which size on a blob is received so.
	largeBlob    = 8 << 20
	chunksSuffix = ".chunks"
	lengthsSize  = 4 + 4 // stored, raw
)

func (l layout) parts() string          { return filepath.Join(string(l), "parts") }
func (l layout) part(d Digest) string   { return filepath.Join(l.parts(), hex.EncodeToString(d[:])) }
func (l layout) chunks(d Digest) string { return l.part(d) + chunksSuffix }

// part is the beginning of a large blob that nobody else receives now.
type part struct {
	digest  Digest
	f       *os.File // locked
	lengths *os.File
	off     int64 // of f
	raw     int64 // bytes of content
	chunks  []chunk
	sum     hash.Hash
}

// openPart takes a part and checks it; nil: another receives it now.
func (s *Store) openPart(ctx context.Context, d Digest) (_ *part, err error) {
	const private = 0o600
	if err := os.MkdirAll(s.dirs.parts(), 0o700); err != nil {
		return nil, fmt.Errorf("begin part: %w", err)
	}
	p := &part{digest: d, off: int64(len(packMagic)), sum: sha256.New()}
	if p.f, err = os.OpenFile(s.dirs.part(d), os.O_RDWR|os.O_CREATE, private); err != nil {
		return nil, fmt.Errorf("begin part: %w", err)
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	ok, err := tryFlock(p.f, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	if ours, err := p.f.Stat(); ok && err == nil {
		there, err := os.Stat(p.f.Name())
		ok = err == nil && os.SameFile(ours, there) // else it became a pack just now
	}
	if !ok {
		p.close()
		return nil, nil //nolint:nilnil // it is another's
	}
	if p.lengths, err = os.OpenFile(s.dirs.chunks(d), os.O_RDWR|os.O_CREATE, private); err != nil {
		return nil, fmt.Errorf("begin part: %w", err)
	}
	if err := p.check(ctx, &s.codec); err != nil {
		return nil, fmt.Errorf("check part: %w", err)
	}
	return p, nil
}

// check reads the part and takes what is good of it.
func (p *part) check(ctx context.Context, c *codec) error {
	lengths := bufio.NewReader(p.lengths)
	magic := make([]byte, len(packMagic))
	if _, err := p.f.ReadAt(magic, 0); err != nil || string(magic) != packMagic {
		return p.reset()
	}
	var buf scratch
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		var b [lengthsSize]byte
		if _, err := io.ReadFull(lengths, b[:]); err != nil {
			break // the rest was not written
		}
		one := chunk{off: p.off, stored: binary.LittleEndian.Uint32(b[:]), raw: binary.LittleEndian.Uint32(b[4:])}
		if one.raw == 0 || one.raw > chunkSize || one.stored > one.raw {
			break
		}
		buf.stored = grow(buf.stored, int(one.stored))
		if _, err := p.f.ReadAt(buf.stored, one.off); err != nil {
			break
		}
		content, err := c.restore(buf.stored, one.raw, buf.raw)
		if err != nil {
			break
		}
		if one.compressed() {
			buf.raw = content
		}
		p.sum.Write(content)
		p.took(one)
	}
	return p.truncate()
}

func (p *part) took(c chunk) {
	p.chunks = append(p.chunks, c)
	p.off += int64(c.stored)
	p.raw += int64(c.raw)
}

// truncate makes the files end where the part does.
func (p *part) truncate() error {
	if err := p.f.Truncate(p.off); err != nil {
		return err
	}
	if err := p.lengths.Truncate(int64(len(p.chunks)) * lengthsSize); err != nil {
		return err
	}
	_, err := p.lengths.Seek(0, io.SeekEnd)
	return err
}

// reset begins anew.
func (p *part) reset() error {
	p.off, p.raw, p.chunks = int64(len(packMagic)), 0, nil
	p.sum.Reset()
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	if _, err := p.f.WriteAt([]byte(packMagic), 0); err != nil {
		return err
	}
	return p.truncate()
}

// append writes a chunk, and then that it is there.
func (p *part) append(stored, content []byte) error {
	if _, err := p.f.WriteAt(stored, p.off); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	one := chunk{off: p.off, stored: uint32(len(stored)), raw: uint32(len(content))}
	b := binary.LittleEndian.AppendUint32(nil, one.stored)
	if _, err := p.lengths.Write(binary.LittleEndian.AppendUint32(b, one.raw)); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	const hintEvery = 8 << 20
	if p.off/hintEvery != (p.off+int64(len(stored)))/hintEvery {
		startWriteback(p.f, max(0, p.off-hintEvery), hintEvery)
	}
	p.sum.Write(content)
	p.took(one)
	return nil
}

// digestNow is the digest of what is there.
func (p *part) digestNow() Digest { return Digest(p.sum.Sum(nil)) }

// become makes the whole part a pack of the store.
func (p *part) become(ctx context.Context, dirs layout) error {
	if _, err := p.f.Seek(p.off, io.SeekStart); err != nil {
		return fmt.Errorf("keep part: %w", err)
	}
	w := newPackWriter(dirs, time.Now())
	w.f, w.off, w.stored = p.f, p.off, p.off-int64(len(packMagic))
	w.blobs = []packBlob{{digest: p.digest, size: p.raw, chunks: p.chunks}}
	if _, err := w.commit(ctx); err != nil {
		return err
	}
	p.f = nil
	return errors.Join(syncDir(dirs.packs()), os.Remove(p.lengths.Name()))
}

func (p *part) close() {
	if p.f != nil {
		_ = p.f.Close() // gives the lock back; what was not written is seen
	}
	if p.lengths != nil {
		_ = p.lengths.Close()
	}
}

// drop takes a part away.
func (p *part) drop() error {
	return errors.Join(os.Remove(p.f.Name()), os.Remove(p.lengths.Name()))
}

// youngPart is how old a part is before it can go: somebody may be about to go
// on with it.
const youngPart = time.Hour

// dropParts removes the parts that nobody went on with since then.
func (p *pruning) dropParts(ctx context.Context) error {
	entries, err := os.ReadDir(p.s.dirs.parts())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before := p.policy.Before
	if young := time.Now().Add(-youngPart); young.Before(before) {
		before = young
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue // gone, or too young
		}
		if !strings.HasSuffix(e.Name(), chunksSuffix) {
			p.stats.Bytes += info.Size()
		}
		if p.dry {
			continue
		}
		if err := os.Remove(filepath.Join(p.s.dirs.parts(), e.Name())); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}
