package program

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDigestIn(t *testing.T) {
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	wrong := strings.Repeat("a", digestLength) // tells that it was remembered
	for _, c := range []struct {
		name string
		// between what is remembered and the question
		change func(t *testing.T, dir, file string)
		want   string
	}{
		{"as it was", func(*testing.T, string, string) {}, wrong},
		{"overwritten in place, with its time put back", func(t *testing.T, _, file string) {
			before := changed(t, file)
			info, err := os.Stat(file)
			if err == nil {
				err = os.WriteFile(file, []byte("olleh"), 0o600)
			}
			for err == nil && changed(t, file) == before { // the clock of a file system ticks
				err = os.Chtimes(file, info.ModTime(), info.ModTime())
			}
			if err != nil {
				t.Fatal(err)
			}
		}, sum("olleh")},
		{"another in its place", func(t *testing.T, _, file string) {
			if err := os.WriteFile(file+".new", []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}, sum("other")},
		{"what was remembered is damaged", func(t *testing.T, dir, _ string) {
			if err := os.WriteFile(filepath.Join(dir, digestsFile), []byte(`[{"state":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, sum("hello")},
		{"nothing is remembered", func(t *testing.T, dir, _ string) {
			if err := os.Remove(filepath.Join(dir, digestsFile)); err != nil {
				t.Fatal(err)
			}
		}, sum("hello")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "program")
			if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			state, err := stateOf(f)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close() // only read
			writeDigests(dir, []knownDigest{{State: state, Digest: wrong}})
			c.change(t, dir, file)
			if f, err = os.Open(file); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }() // only read
			if got, err := DigestIn(dir, f); got != c.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// What changed just now could change again without a trace; and where nothing
// is to be remembered, nothing is.
func TestDigestNotRemembered(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	file := filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, file string }{
		{"changed just now", dir, file},
		{"nowhere to", "", "/bin/sh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := os.Open(c.file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }() // only read
			if _, err := DigestIn(c.dir, f); err != nil {
				t.Fatal(err)
			}
			if known := readDigests(dir); len(known) > 0 {
				t.Errorf("remembered %v", known)
			}
		})
	}
}

// changed is the time of a file's last change.
func changed(t *testing.T, file string) int64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	state, err := stateOf(f)
	if err != nil {
		t.Fatal(err)
	}
	return state.Changed
}
