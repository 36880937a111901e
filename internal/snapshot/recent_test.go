package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRecent asks when a manifest that was read is read again.
func TestRecent(t *testing.T) {
	tests := map[string]struct {
		do    func(t *testing.T, s *Store, id ID)
		again bool
		bad   bool
	}{
		"nothing was done": {do: func(*testing.T, *Store, ID) {}},
		"it was touched by us": {do: func(t *testing.T, s *Store, id ID) {
			if err := s.Touch(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}},
		"another process touched it": {again: true, do: func(t *testing.T, s *Store, id ID) {
			other, err := Open(string(s.dirs))
			if err == nil {
				err = other.Touch(t.Context(), id)
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
		"it was damaged, and touched": {again: true, bad: true, do: func(t *testing.T, s *Store, id ID) {
			name := s.dirs.manifest(id)
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Touch(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := t.TempDir()
			if err := os.WriteFile(filepath.Join(src, "train.py"), []byte("print()\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			snap, err := s.Take(t.Context(), src, Options{})
			if err != nil {
				t.Fatal(err)
			}
			taken, err := s.Manifest(t.Context(), snap.ID)
			if err != nil {
				t.Fatal(err)
			}
			test.do(t, s, snap.ID)
			m, err := s.Manifest(t.Context(), snap.ID)
			var corrupt *CorruptError
			if bad := errors.As(err, &corrupt); bad != test.bad {
				t.Fatalf("error %v, want a damaged manifest: %v", err, test.bad)
			}
			if again := m != taken; again != test.again {
				t.Errorf("read again: %v, want %v", again, test.again)
			}
		})
	}
}

// TestLater leaves what makes the next Take faster to its caller.
func TestLater(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "train.py"), []byte("print()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var remember func()
	if _, err := s.Take(t.Context(), src, Options{Later: func(f func()) { remember = f }}); err != nil {
		t.Fatal(err)
	}
	caches := func() int {
		entries, err := os.ReadDir(s.dirs.caches())
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if n := caches(); n != 0 || remember == nil {
		t.Fatalf("%d caches before the caller has them written, want none", n)
	}
	remember()
	if n := caches(); n != 1 {
		t.Errorf("%d caches, want one", n)
	}
}

// TestManifestOfEarlierVersion reads a manifest that was kept compressed.
func TestManifestOfEarlierVersion(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "train.py"), []byte("print()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.Take(t.Context(), src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := s.dirs.manifest(snap.ID)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = s.codec.pack(data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	m, err := s.Manifest(t.Context(), snap.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Find("train.py"); !ok {
		t.Errorf("it lists %v", m.Entries)
	}
}
