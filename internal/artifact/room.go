package artifact

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// incoming holds what is not whole yet. It lies beside outputs and logs and is
// never listed.
const incoming = ".runner-incoming"

// room is the directory for what is not whole yet, which is there as long as
// somebody uses it or something is kept in it. Whoever uses it holds its lock
// shared; whoever finds it free knows that what lies there was left by a crash.
type room struct {
	mu    sync.Mutex
	users int
	lock  *os.File
}

// enter makes the directory for temporary names. The last to leave removes it,
// unless something is kept in it.
func (r *room) enter(root *os.Root) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == 0 {
		if r.lock, err = openRoom(root); err != nil {
			return nil, err
		}
	}
	r.users++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.users--; r.users == 0 {
			if lockAlone(r.lock) {
				_ = root.Remove(incoming) // only if it is empty; who waits for the lock sees that it went
			}
			_ = r.lock.Close() // only a lock
		}
	}, nil
}

// openRoom opens and locks the room.
func openRoom(root *os.Root) (*os.File, error) {
	for {
		if err := root.MkdirAll(incoming, 0o700); err != nil {
			return nil, err
		}
		f, err := root.Open(incoming)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = lockRoom(root, f)
		if err == nil {
			return f, nil
		}
		if err = errors.Join(err, f.Close()); !errors.Is(err, errGone) {
			return nil, err
		}
	}
}

// errGone is a room that was removed before we locked it.
var errGone = errors.New("the directory was removed")

func lockRoom(root *os.Root, f *os.File) error {
	alone := lockAlone(f)
	if !alone {
		if err := lockShared(f); err != nil {
			return err
		}
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := root.Lstat(incoming); err != nil || !os.SameFile(ours, there) {
		return errGone
	}
	if !alone {
		return nil
	}
	if err := sweep(root, f); err != nil {
		return err
	}
	return lockShared(f)
}

// lockAlone takes the lock, or makes it one, that nobody else holds. What it
// held before it may lose when it says false.
func lockAlone(f *os.File) bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }

func lockShared(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_SH) }

// sweep keeps what a crash left of large files, and removes the rest.
func sweep(root *os.Root, f *os.File) error {
	entries, err := f.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, _, whole := strings.Cut(e.Name(), "-")
		if !whole { // a part
			continue
		}
		keepPart(root, incoming+"/"+e.Name(), incoming+"/"+name+partSuffix)
		if err := root.RemoveAll(incoming + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// keepPart makes what is under a temporary name a part, if it is worth it and
// more than the part that is there.
func keepPart(root *os.Root, temporary, part string) {
	info, err := root.Lstat(temporary)
	if err != nil || !info.Mode().IsRegular() || info.Size() < worthKeeping {
		return
	}
	if before, err := root.Lstat(part); err == nil && before.Size() >= info.Size() {
		return
	}
	_ = root.Rename(temporary, part) // else all of it comes again
}

const partSuffix = ".part"

// temporaryName is a new name for what is to become name.
func temporaryName(name string) string {
	return incoming + "/" + key(name) + "-" + strings.ToLower(rand.Text()[:8])
}

// partName is where what came of name is kept.
func partName(name string) string { return incoming + "/" + key(name) + partSuffix }

func key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:12])
}
