package snapshot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// packWriter collects blobs for one new pack. Its file is made with the first
// blob, so a picture without news writes nothing. Goroutines may add at once.
type packWriter struct {
	dirs layout
	now  time.Time

	mu      sync.Mutex
	f       *os.File
	off     int64 // where the next chunk goes, the buffer counted
	buf     []byte
	blobs   []packBlob
	claimed map[Digest]bool
	stored  int64 // bytes of chunks
	hinted  int64 // up to where the kernel was asked to write back
}

const writeSize = 1 << 20

func newPackWriter(dirs layout, now time.Time) *packWriter {
	return &packWriter{dirs: dirs, now: now, claimed: make(map[Digest]bool)}
}

// claim says whether the caller is the first to bring this blob, and then must.
func (w *packWriter) claim(d Digest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claimed[d] {
		return false
	}
	w.claimed[d] = true
	return true
}

// chunk writes one stored chunk and says where it is.
func (w *packWriter) chunk(stored []byte, raw int) (chunk, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		f, err := os.CreateTemp(w.dirs.tmp(), "pack-")
		if err != nil {
			return chunk{}, fmt.Errorf("begin pack: %w", err)
		}
		w.f = f
		w.buf = append(make([]byte, 0, 1<<16), packMagic...)
		w.off = int64(len(packMagic))
	}
	c := chunk{off: w.off, stored: uint32(len(stored)), raw: uint32(raw)}
	w.buf = append(w.buf, stored...)
	w.off += int64(len(stored))
	w.stored += int64(len(stored))
	if len(w.buf) >= writeSize {
		return c, w.flush()
	}
	return c, nil
}

func (w *packWriter) flush() error {
	if _, err := w.f.Write(w.buf); err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	const hintSize = 8 << 20
	if flushed := w.off; flushed-w.hinted >= hintSize {
		startWriteback(w.f, w.hinted, flushed-w.hinted)
		w.hinted = flushed
	}
	w.buf = w.buf[:0]
	return nil
}

// add records a blob whose chunks were written.
func (w *packWriter) add(b packBlob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blobs = append(w.blobs, b)
}

// mark says where the next chunk goes, for rewind.
func (w *packWriter) mark() (off, stored int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.off, w.stored
}

// rewind forgets the chunks that were written since mark. Only for a writer
// that one goroutine uses.
func (w *packWriter) rewind(off, stored int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil || w.off == off {
		return nil
	}
	off = max(off, int64(len(packMagic)))
	flushed := w.off - int64(len(w.buf))
	w.off, w.stored = off, stored
	if off >= flushed {
		w.buf = w.buf[:off-flushed]
		return nil
	}
	w.buf = w.buf[:0]
	if err := w.f.Truncate(off); err != nil {
		return fmt.Errorf("rewind pack: %w", err)
	}
	if _, err := w.f.Seek(off, io.SeekStart); err != nil {
		return fmt.Errorf("rewind pack: %w", err)
	}
	return nil
}

// complete says whether every blob that was claimed was also brought.
func (w *packWriter) complete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.claimed) == len(w.blobs)
}

// written says how many bytes of chunks the pack holds so far.
func (w *packWriter) written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored
}

// commit makes the pack durable and part of the store and gives its name, or
// "" when there was nothing to keep. The caller syncs the directory.
func (w *packWriter) commit(ctx context.Context) (string, error) {
	if w.f == nil {
		return "", nil
	}
	defer w.abort()
	if len(w.blobs) == 0 {
		return "", nil
	}
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	w.buf = append(w.buf, encodeIndex(w.blobs, w.off)...)
	if err := w.flush(); err != nil {
		return "", err
	}
	name, sealed := newPackName(w.now)
	if err := os.Chtimes(w.f.Name(), sealed, sealed); err != nil {
		return "", fmt.Errorf("seal pack: %w", err)
	}
	if err := w.f.Sync(); err != nil {
		return "", fmt.Errorf("write pack: %w", err)
	}
	if err := os.Rename(w.f.Name(), filepath.Join(w.dirs.packs(), name)); err != nil {
		return "", fmt.Errorf("keep pack: %w", err)
	}
	err := w.f.Close()
	w.f = nil
	if err != nil {
		return "", fmt.Errorf("close pack: %w", err)
	}
	return name, nil
}

// abort takes the unfinished pack away. It is harmless after commit.
func (w *packWriter) abort() {
	if w.f == nil {
		return
	}
	_ = w.f.Close()           // its content is not wanted
	_ = os.Remove(w.f.Name()) // else the next Open sweeps it away
	w.f = nil
}

const packSuffix = ".pack"

// newPackName makes a name that sorts by time and is never used twice. The
// time in it, in whole seconds, is also the file's modification time: whatever
// writes to the pack later breaks that seal.
func newPackName(now time.Time) (string, time.Time) {
	var r [6]byte
	_, _ = rand.Read(r[:]) // never fails, says its documentation
	return fmt.Sprintf("%016x-%s%s", now.UnixNano(), hex.EncodeToString(r[:]), packSuffix), now.Truncate(time.Second)
}

// sealOf reads the seal from a pack's name.
func sealOf(name string) (time.Time, bool) {
	stamp, rest, ok := strings.Cut(name, "-")
	nanos, err := strconv.ParseInt(stamp, 16, 64)
	if !ok || err != nil || !strings.HasSuffix(rest, packSuffix) {
		return time.Time{}, false
	}
	return time.Unix(0, nanos).Truncate(time.Second), true
}
