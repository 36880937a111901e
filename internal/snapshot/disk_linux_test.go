package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/testenv"
)

func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	testenv.SmallDisk(t, disk, "size=2m")
	dir := filepath.Join(disk, "objects")
	s := openStore(t, dir)
	src := t.TempDir()
	tree{"a": noise(1, 500_000)}.write(t, src)
	first := take(t, s, src)
	before := read(t, filepath.Join(dir, "packs"))

	tree{"b": noise(2, 3_000_000)}.write(t, src)
	wantFull(t, func() error { _, err := s.Take(t.Context(), src, snapshot.Options{}); return err })
	same(t, "packs", before, read(t, filepath.Join(dir, "packs")))
	checkStore(t, dir)

	must(t, os.Remove(filepath.Join(src, "b")))
	same(t, "ID without the large file", first.ID, take(t, s, src).ID)

	tree{"b": noise(2, 2_500_000)}.write(t, src)
	other := newStore(t)
	large := take(t, other, src)
	dst := filepath.Join(disk, "out")
	wantFull(t, func() error { return other.Unpack(t.Context(), large.ID, dst, nil) })
	if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
		t.Error("a half unpacked directory is left")
	}
	m, err := other.Manifest(t.Context(), large.ID)
	must(t, err)
	missing, err := s.Missing(t.Context(), m)
	must(t, err)
	pipe, w, err := os.Pipe()
	must(t, err)
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(other.Export(t.Context(), w, large.ID, snapshot.Whole(missing)), w.Close())
	}()
	wantFull(t, func() error { _, err := s.Import(t.Context(), pipe); return err })
	must(t, pipe.Close())
	<-sent // a broken pipe
	checkStore(t, dir)

	filler := filepath.Join(disk, "filler")
	_ = os.WriteFile(filler, make([]byte, 2<<20), 0o600) // until it is full
	prune(t, s, keepNone, false)
	same(t, "packs after prune on a full disk", 0, countFiles(t, filepath.Join(dir, "packs")))
}

func wantFull(t *testing.T, do func() error) {
	t.Helper()
	if err := do(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want no space left", err)
	}
}

func TestNoInodesLeft(t *testing.T) {
	disk := t.TempDir()
	testenv.SmallDisk(t, disk, "nr_inodes=60")
	src := t.TempDir()
	tr := tree{}
	for i := range 100 {
		tr["d/"+string(rune('0'+i))] = "x"
	}
	tr.write(t, src)
	s := newStore(t)
	snap := take(t, s, src)
	dst := filepath.Join(disk, "out")
	wantFull(t, func() error { return s.Unpack(t.Context(), snap.ID, dst, nil) })
	same(t, "left behind", 0, countFiles(t, disk))
}

// TestPseudoFiles: a file that says it is empty and is not cannot be pictured,
// and must not come out as an empty one.
func TestPseudoFiles(t *testing.T) {
	_, err := newStore(t).Take(t.Context(), "/proc/sys/kernel/random", snapshot.Options{})
	var changed *snapshot.ChangedError
	if !errors.As(err, &changed) {
		t.Errorf("error %v, want ChangedError", err)
	}
}
