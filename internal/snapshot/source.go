package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reader reads the files of one source directory into a pack.
type reader struct {
	root    string
	view    *view
	writer  *packWriter
	trusted bool // what the cache knows is surely stored
	dry     bool // only find out the digests
	meter   *meter

	mu    sync.Mutex
	packs map[string]bool // where known content was found
}

// errUnsteady says that a file changed between the first look and the last.
var errUnsteady = errors.New("changed while it was read")

// store makes sure that the file's content is in the store and sets the node's
// digest. A file that is written to is tried a few times.
func (r *reader) store(ctx context.Context, dir *dirNode, n *node, buf *scratch) error {
	if n.known && (r.trusted || r.dry || r.stored(n)) {
		r.meter.add(n.stat.size)
		return nil
	}
	n.known = false
	rel := joinPath(dir.path, n.name)
	const attempts = 4
	wait := 20 * time.Millisecond
	for attempt := 1; ; attempt++ {
		err := r.attempt(ctx, filepath.Join(r.root, rel), n, buf)
		if err == nil {
			r.meter.add(n.stat.size)
			return nil
		}
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
			return &ChangedError{Path: rel, Vanished: true}
		case !errors.Is(err, errUnsteady):
			return fmt.Errorf("read source directory: %w", err)
		case attempt == attempts:
			return &ChangedError{Path: rel}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait *= 4
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stored looks for the content of a known file in the packs.
func (r *reader) stored(n *node) bool {
	if n.stat.size == 0 {
		return true
	}
	at, ok := r.view.find(n.digest)
	if ok {
		r.note(at.pack.name)
	}
	return ok
}

func (r *reader) note(pack string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packs[pack] = true
}

// attempt reads a file once, from its opening to the check that it stayed the
// same throughout.
func (r *reader) attempt(ctx context.Context, path string, n *node, buf *scratch) error {
	flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := retry(func() (int, error) { return unix.Open(path, flags, 0) })
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	f := sourceFile{fd: fd, path: path}
	before, err := f.stat()
	if err != nil {
		return err
	}
	if before.mode&unix.S_IFMT != unix.S_IFREG {
		return &os.PathError{Op: "open", Path: path, Err: unix.ENOENT} // another thing took its name
	}
	var digest Digest
	var finish func() error
	if before.size <= chunkSize {
		digest, finish, err = r.readSmall(&f, before.size, buf)
	} else {
		digest, finish, err = r.readLarge(ctx, &f, before.size, buf)
	}
	if err != nil {
		return err
	}
	after, err := f.stat()
	if err != nil {
		return err
	}
	if after != before {
		return errUnsteady
	}
	n.stat, n.digest = before, digest
	if before.size == 0 || r.dry {
		return nil
	}
	if at, ok := r.view.find(digest); ok {
		r.note(at.pack.name)
		return nil
	}
	if !r.writer.claim(digest) {
		return nil
	}
	return finish()
}

// readSmall reads a file that is one chunk; finish stores it.
func (r *reader) readSmall(f *sourceFile, size int64, buf *scratch) (Digest, func() error, error) {
	raw := grow(buf.raw, int(size))
	buf.raw = raw
	if err := f.read(raw, 0); err != nil {
		return Digest{}, nil, err
	}
	if size == 0 && f.read(make([]byte, 1), 0) == nil {
		return Digest{}, nil, errUnsteady // it says 0 bytes and has some, as in /proc
	}
	digest := Digest(sha256.Sum256(raw))
	return digest, func() error {
		c, err := r.keepChunk(raw, buf)
		if err != nil {
			return err
		}
		r.writer.add(packBlob{digest: digest, size: size, chunks: []chunk{c}})
		return nil
	}, nil
}

// sourceFile is an open file of the source directory.
type sourceFile struct {
	fd   int
	path string
}

func (f *sourceFile) stat() (fileStat, error) {
	var st unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstat(f.fd, &st) }); err != nil {
		return fileStat{}, &os.PathError{Op: "stat", Path: f.path, Err: err}
	}
	return statOf(&st), nil
}

// read fills b from that offset. An early end means that the file changed.
func (f *sourceFile) read(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := retry(func() (int, error) { return unix.Pread(f.fd, b, off) })
		if err != nil {
			return &os.PathError{Op: "read", Path: f.path, Err: err}
		}
		if n == 0 {
			return errUnsteady
		}
		b = b[n:]
		off += int64(n)
	}
	return nil
}
