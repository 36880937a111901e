package store

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reserveSize is the room that is kept for the day the disk is full, in bytes:
// enough to write down cancels, ends and removals.
const reserveSize = 4 << 20

// remakeAfter is how long after it was spent, or could not be made, the
// reserve is made again.
const remakeAfter = 30 * time.Second

// reserve is a file beside the database that only takes room. On a full disk
// it is given up for writes that end things or free room, so that one can get
// out of there with our own commands.
type reserve struct {
	mu    sync.Mutex
	path  string
	there bool
	tried time.Time
}

func newReserve(database string) *reserve {
	return &reserve{path: filepath.Join(filepath.Dir(database), "runner.reserve")}
}

// keep makes the file unless it is there. That it cannot is no error: then the
// disk is full already.
func (r *reserve) keep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.there || time.Since(r.tried) < remakeAfter {
		return
	}
	r.tried = time.Now()
	if info, err := os.Stat(r.path); err == nil && info.Size() >= reserveSize {
		r.there = true
		return
	}
	if !roomFor(filepath.Dir(r.path), 4*reserveSize) {
		return // what little there is, is for runs
	}
	if err := os.WriteFile(r.path, make([]byte, reserveSize), 0o600); err != nil {
		_ = os.Remove(r.path) // half of it helps nobody
		return
	}
	r.there = true
}

// spend gives the room back to the disk and reports whether there was any.
func (r *reserve) spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.there, r.tried = false, time.Now()
	return os.Remove(r.path) == nil
}

// roomFor reports whether the file system of dir has so many bytes free.
func roomFor(dir string, size int64) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && int64(fs.Bavail)*int64(fs.Bsize) >= size //nolint:gosec,unconvert // types differ by system
}
