package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// view is the store as one call sees it: under a lock, so that no pack goes
// away meanwhile, and with the packs there were at its beginning.
type view struct {
	s     *Store
	lock  *storeLock
	packs []*packFile // newest first
}

// packFile is one pack, opened when it is first looked into.
type packFile struct {
	name string
	path string
	once sync.Once
	f    *os.File
	idx  *packIndex
	err  error // why nothing in it can be used
}

// loadedIndex is an index kept between calls, good while the pack's
// modification time is the one it had.
type loadedIndex struct {
	mtime time.Time
	idx   *packIndex
}

// look begins a view; how is unix.LOCK_SH or unix.LOCK_EX.
func (s *Store) look(ctx context.Context, how int) (*view, error) {
	lock, err := acquire(ctx, s.dirs, how)
	if err != nil {
		return nil, err
	}
	return s.viewUnder(lock)
}

// viewUnder takes over the lock, also when it fails.
func (s *Store) viewUnder(lock *storeLock) (*view, error) {
	names, err := s.packNames()
	if err != nil {
		lock.release()
		return nil, err
	}
	v := &view{s: s, lock: lock, packs: make([]*packFile, len(names))}
	for i, name := range names {
		v.packs[i] = &packFile{name: name, path: filepath.Join(s.dirs.packs(), name)}
	}
	return v, nil
}

// close may be called twice.
func (v *view) close() {
	for _, p := range v.packs {
		if p.f != nil {
			_ = p.f.Close() // only read from
		}
	}
	v.unlock()
}

// unlock lets others remove packs. The view then goes on with those that it
// has open: what is removed stays readable until it is closed.
func (v *view) unlock() {
	if v.lock == nil {
		return
	}
	v.lock.release()
	v.lock = nil
	v.packs = slices.DeleteFunc(v.packs, func(p *packFile) bool { return p.f == nil })
}

// intact says whether all these packs are there with their seals whole. It
// costs one stat for each.
func (v *view) intact(names []string) bool {
	for _, name := range names {
		seal, ok := sealOf(name)
		var st unix.Stat_t
		if !ok || unix.Lstat(filepath.Join(v.s.dirs.packs(), name), &st) != nil || st.Mtim.Nano() != seal.UnixNano() {
			return false
		}
	}
	return true
}

// location is where a blob is.
type location struct {
	pack *packFile
	indexRecord
}

// find looks for a blob in all packs that can be read.
func (v *view) find(d Digest) (location, bool) {
	for _, p := range v.packs {
		p.once.Do(func() { p.err = v.open(p) })
		if p.err != nil {
			continue
		}
		if r, ok := p.idx.find(d); ok {
			return location{pack: p, indexRecord: r}, true
		}
	}
	return location{}, false
}

// damaged names a pack that could not be read, if there is one: what find does
// not find may have been in it.
func (v *view) damaged() error {
	for _, p := range v.packs {
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// open reads a pack's index. A pack whose seal is broken was touched after it
// was written, or found damaged: then every blob in it is checked, and the seal
// mended when all are good.
func (v *view) open(p *packFile) (err error) {
	f, err := os.Open(p.path)
	if err != nil {
		return &CorruptError{Object: "pack " + p.name, Err: err}
	}
	p.f = f
	info, err := f.Stat()
	if err != nil {
		return &CorruptError{Object: "pack " + p.name, Err: err}
	}
	v.s.mu.Lock()
	known, ok := v.s.indexes[p.name]
	v.s.mu.Unlock()
	if ok && known.mtime.Equal(info.ModTime()) {
		p.idx = known.idx
		return nil
	}
	if p.idx, err = readIndex(f, info.Size()); err != nil {
		v.breakSeal(p)
		return &CorruptError{Object: "pack " + p.name, Err: err}
	}
	mtime := info.ModTime()
	if seal, _ := sealOf(p.name); !mtime.Equal(seal) && v.checkAll(p) {
		if err := os.Chtimes(p.path, seal, seal); err == nil {
			mtime = seal
		}
	}
	v.s.mu.Lock()
	v.s.indexes[p.name] = loadedIndex{mtime: mtime, idx: p.idx}
	v.s.mu.Unlock()
	return nil
}

func readIndex(f *os.File, size int64) (*packIndex, error) {
	if size < int64(len(packMagic)+indexHeader+trailerSize) {
		return nil, errors.New("too short")
	}
	trailer := make([]byte, trailerSize)
	if _, err := f.ReadAt(trailer, size-int64(trailerSize)); err != nil {
		return nil, err
	}
	off, length, sum, err := decodeTrailer(trailer, size)
	if err != nil {
		return nil, err
	}
	b := make([]byte, length)
	if _, err := f.ReadAt(b, off); err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != sum {
		return nil, errors.New("index has another digest than it says")
	}
	return decodeIndex(b, off)
}

// checkAll reads every blob of a pack and says whether all are good.
func (v *view) checkAll(p *packFile) bool {
	var buf scratch
	good := true
	for i := range p.idx.len() {
		at := location{pack: p, indexRecord: p.idx.record(i)}
		if err := v.copyBlob(at, &buf, discard); err != nil {
			p.idx.condemn(at.digest)
			good = false
		}
	}
	return good
}

// breakSeal makes the next one to open the pack check all of it.
func (v *view) breakSeal(p *packFile) {
	if seal, ok := sealOf(p.name); ok {
		broken := seal.Add(time.Millisecond)
		_ = os.Chtimes(p.path, broken, broken) // without it, only found again when next read
	}
}

// scratch is one worker's buffers.
type scratch struct{ stored, raw []byte }

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// sink takes a blob's content piece by piece: the offset, the bytes, and the
// bytes as they are stored.
type sink func(off int64, raw, stored []byte) error

func discard(int64, []byte, []byte) error { return nil }

// copyBlob gives a blob's content to write and checks it as a whole. What
// comes from write is returned as it is; anything else is a CorruptError.
func (v *view) copyBlob(at location, buf *scratch, write sink) error {
	hash := sha256.New()
	var off int64
	for i := range at.count {
		c := at.pack.idx.chunk(at.first + i)
		buf.stored = grow(buf.stored, int(c.stored))
		if _, err := at.pack.f.ReadAt(buf.stored, c.off); err != nil {
			return at.corrupt(err)
		}
		raw, err := v.s.codec.restore(buf.stored, c.raw, buf.raw)
		if err != nil {
			return at.corrupt(err)
		}
		if c.compressed() {
			buf.raw = raw
		}
		hash.Write(raw)
		if err := write(off, raw, buf.stored); err != nil {
			return err
		}
		off += int64(len(raw))
	}
	if Digest(hash.Sum(nil)) != at.digest {
		return at.corrupt(errors.New("its digest is another"))
	}
	return nil
}

func (at location) corrupt(err error) error {
	return &CorruptError{Object: fmt.Sprintf("blob %s in pack %s", at.digest, at.pack.name), Err: err}
}

// blob gives the content of that digest and size. When one copy of it is
// damaged, another pack's is tried, and write then begins at offset 0 again.
func (v *view) blob(d Digest, size int64, buf *scratch, write sink) error {
	var failed error
	for {
		at, ok := v.find(d)
		switch {
		case ok:
		case failed != nil:
			return failed
		default:
			if failed = v.damaged(); failed == nil {
				failed = &CorruptError{Object: "blob " + d.String(), Err: errors.New("it is in no pack")}
			}
			return failed
		}
		if at.size != size {
			return at.corrupt(fmt.Errorf("it has %d bytes, the manifest says %d", at.size, size))
		}
		err := v.copyBlob(at, buf, write)
		if !isCorrupt(err) {
			return err
		}
		failed = err
		at.pack.idx.condemn(d)
		v.breakSeal(at.pack)
	}
}
