package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// Here is this computer.
type Here struct {
	root string

	mu sync.Mutex
	// spawned are children that outlive us; each has a goroutine that takes
	// its exit status so that it does not stay as a zombie.
	spawned map[*child]struct{}
	closed  bool
	reaping sync.WaitGroup
}

var _ Local = (*Here)(nil)

// NewHere is this computer with our things under root, an absolute path.
func NewHere(root string) *Here {
	return &Here{root: filepath.Clean(root), spawned: map[*child]struct{}{}}
}

// Close stops waiting for what Spawn started, which goes on, and returns when
// no goroutine of ours is left.
func (h *Here) Close() error {
	h.mu.Lock()
	h.closed = true
	for c := range h.spawned {
		c.abandon()
	}
	h.mu.Unlock()
	h.reaping.Wait()
	return nil
}

// Here marks this computer as Local.
func (h *Here) Here() {}

// Root is the directory under which everything of ours lies.
func (h *Here) Root() string { return h.root }

// Platform says what this computer is.
func (h *Here) Platform(ctx context.Context) (Platform, error) {
	if err := ctx.Err(); err != nil {
		return Platform{}, err
	}
	name, err := os.Hostname()
	if err != nil {
		return Platform{}, fmt.Errorf("ask for the host name: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // a daemon may have none; whoever needs it says so
	}
	return Platform{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Hostname: name, BootID: bootID(),
		UID: os.Getuid(), GID: os.Getgid(), Home: home,
	}, nil
}

// Dial opens a connection from this computer.
func (h *Here) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Open reads a file.
func (h *Here) Open(ctx context.Context, path string) (File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// WriteFile stores data whole or not at all: a temporary file beside path is
// flushed to the disk and renamed. The mode is exact, whatever the umask.
func (h *Here) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), Unfinished+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			_ = f.Close()           // already failing
			_ = os.Remove(f.Name()) // nothing half-done stays
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in a directory last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Stat follows links.
func (h *Here) Stat(ctx context.Context, path string) (fs.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// Lstat does not follow links.
func (h *Here) Lstat(ctx context.Context, path string) (fs.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// ReadDir lists a directory, sorted by name.
func (h *Here) ReadDir(ctx context.Context, path string) ([]fs.DirEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.ReadDir(path)
}

// Readlink says where a link points.
func (h *Here) Readlink(ctx context.Context, path string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return os.Readlink(path)
}

// MkdirAll makes a directory and its parents.
func (h *Here) MkdirAll(ctx context.Context, path string, mode fs.FileMode) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return os.MkdirAll(path, mode)
}

// Rename moves a file or directory within one file system.
func (h *Here) Rename(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return os.Rename(from, to)
}
