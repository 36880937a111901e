package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// layout names the parts of a store's directory.
type layout string

func (l layout) packs() string     { return filepath.Join(string(l), "packs") }
func (l layout) manifests() string { return filepath.Join(string(l), "manifests") }
func (l layout) caches() string    { return filepath.Join(string(l), "sources") }
func (l layout) tmp() string       { return filepath.Join(string(l), "tmp") }
func (l layout) lock() string      { return filepath.Join(string(l), "lock") }
func (l layout) gate() string      { return filepath.Join(string(l), "gate") }

func (l layout) manifest(id ID) string { return filepath.Join(l.manifests(), id.Hex()) }

// Store keeps snapshots in a directory. It is safe for several goroutines, and
// several processes may have the same directory open.
type Store struct {
	dirs  layout
	self  inode // the store's own directory, never part of a picture
	codec codec

	mu      sync.Mutex
	indexes map[string]loadedIndex // of packs, which never change

	recent recent
}

// Open makes the directory when it is not there (mode 0700) and sweeps away
// what killed processes left unfinished. A Store holds no open files between
// calls and needs no closing.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open snapshot store: %w", err)
	}
	s := &Store{dirs: layout(abs), codec: newCodec(), indexes: make(map[string]loadedIndex)}
	for _, d := range []string{abs, s.dirs.packs(), s.dirs.manifests(), s.dirs.caches(), s.dirs.tmp()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open snapshot store: %w", err)
		}
	}
	if s.self, err = inodeOf(abs); err != nil {
		return nil, fmt.Errorf("open snapshot store: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("open snapshot store: %w", err)
	}
	return s, nil
}

func inodeOf(dir string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return inode{}, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	return inode{dev: uint64(st.Dev), ino: st.Ino}, nil //nolint:unconvert // 32 bits on darwin
}

// sweep removes temporary files when nobody is at work who could own them.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.dirs.tmp())
	if err != nil || len(entries) == 0 {
		return err
	}
	lock, err := tryLock(s.dirs)
	if err != nil || lock == nil {
		return err
	}
	defer lock.release()
	return s.clearTemporary()
}

// clearTemporary needs the exclusive lock.
func (s *Store) clearTemporary() error {
	entries, err := os.ReadDir(s.dirs.tmp())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dirs.tmp(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Has says whether the store holds that snapshot's manifest.
func (s *Store) Has(id ID) bool {
	if _, err := ParseID(string(id)); err != nil {
		return false
	}
	_, err := os.Stat(s.dirs.manifest(id))
	return err == nil
}

// Info is a stored snapshot.
type Info struct {
	ID   ID
	Used time.Time // when it was last taken, imported or touched
}

// List gives all stored snapshots, by ID.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dirs.manifests())
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	list := make([]Info, 0, len(entries))
	for _, e := range entries {
		id, err := ParseID(idPrefix + e.Name())
		if err != nil {
			continue // not ours
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		list = append(list, Info{ID: id, Used: info.ModTime()})
	}
	return list, nil
}

// Manifest reads a stored snapshot's manifest: ErrNotFound when there is none,
// a CorruptError when it is damaged. It may be shared: nobody changes it.
func (s *Store) Manifest(ctx context.Context, id ID) (*Manifest, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	file, statErr := os.Stat(s.dirs.manifest(id))
	if statErr == nil {
		if m := s.recent.find(id, file); m != nil {
			return m, nil
		}
	}
	data, err := s.manifestBytes(id)
	if err != nil {
		return nil, err
	}
	entries, err := decodeEntries(data)
	if err == nil {
		err = checkEntries(entries)
	}
	if err != nil {
		return nil, &CorruptError{Object: "manifest " + string(id), Err: err}
	}
	m := &Manifest{ID: id, Entries: entries}
	if statErr == nil {
		s.recent.keep(m, file)
	}
	return m, nil
}

// manifestBytes gives the canonical bytes, checked against the ID.
func (s *Store) manifestBytes(id ID) ([]byte, error) {
	if _, err := ParseID(string(id)); err != nil {
		return nil, err
	}
	stored, err := os.ReadFile(s.dirs.manifest(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	data := stored
	if !bytes.HasPrefix(data, []byte(manifestMagic)) { // earlier versions compressed it
		if data, err = s.codec.unpack(stored); err != nil {
			return nil, &CorruptError{Object: "manifest " + string(id), Err: err}
		}
	}
	if idOf(sha256.Sum256(data)) != id {
		return nil, &CorruptError{Object: "manifest " + string(id), Err: errors.New("its digest is another")}
	}
	return data, nil
}

// stage writes a temporary file.
func (s *Store) stage(prefix string, data []byte, durable bool) (string, error) {
	f, err := os.CreateTemp(s.dirs.tmp(), prefix)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name()) // else the next Open sweeps it away
		return "", err
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// packNames lists the packs, newest first: what is looked for is mostly new.
func (s *Store) packNames() ([]string, error) {
	d, err := os.Open(s.dirs.packs())
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { _, ok := sealOf(n); return !ok })
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}
