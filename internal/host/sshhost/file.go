package sshhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/runnerml/runner/internal/host"
)

const (
	// firstRead is how much the first read asks for; each next one asks for
	// twice as much, up to mostRead.
	firstRead = 256 << 10
	mostRead  = 4 << 20
	// writesInFlight are packets of 32 KiB on their way.
	writesInFlight = 64
)

// file is a file that is read piece by piece. Nothing is held open on the
// host, so a connection that breaks in between costs nothing.
type file struct {
	host *Host
	ctx  context.Context
	path string

	mu     sync.Mutex
	offset int64
	ahead  []byte // what follows offset
	next   int    // how much to ask for
	ended  bool   // the file ended after ahead
	closed bool
}

var _ host.File = (*file)(nil)

// Open reads a file. It can be read for as long as ctx lives.
func (h *Host) Open(ctx context.Context, name string) (host.File, error) {
	f := &file{host: h, ctx: ctx, path: name, next: firstRead}
	if err := f.fetch(); err != nil { // says whether it may be read, and may well be all
		return nil, err
	}
	return f, nil
}

// fetch asks for what follows offset; the caller holds the lock.
func (f *file) fetch() error {
	return f.host.onFiles(f.ctx, "read", f.path, func(ctx context.Context, t transport) error {
		data, err := t.read(ctx, f.path, f.offset, f.next)
		if err != nil {
			return err
		}
		f.ahead, f.ended, f.next = data, len(data) < f.next, min(2*f.next, mostRead)
		return nil
	})
}

// Read reads what the file holds now: at its end, more may come later.
func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(f.ahead) == 0 && !f.ended {
		if err := f.fetch(); err != nil {
			return 0, err
		}
	}
	if len(f.ahead) == 0 {
		f.ended = false // the next Read looks again
		return 0, io.EOF
	}
	n := copy(p, f.ahead)
	f.ahead, f.offset = f.ahead[n:], f.offset+int64(n)
	return n, nil
}

var errSeek = errors.New("no such place in a file")

// Seek moves to where the next Read begins.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		info, err := f.host.Stat(f.ctx, f.path)
		if err != nil {
			return 0, err
		}
		offset += info.Size()
	default:
		return 0, fmt.Errorf("seek in %s: %w", path.Base(f.path), errSeek)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in %s: %w", path.Base(f.path), errSeek)
	}
	if ahead := offset - f.offset; ahead >= 0 && ahead <= int64(len(f.ahead)) {
		f.ahead = f.ahead[ahead:]
	} else {
		f.ahead, f.ended = nil, false
	}
	f.offset = offset
	return offset, nil
}

// Stat says how the file is now.
func (f *file) Stat() (fs.FileInfo, error) { return f.host.Stat(f.ctx, f.path) }

// Close forgets what was read ahead.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed, f.ahead = true, nil
	return nil
}
