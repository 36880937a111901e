package host_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/testenv"
)

func TestWriteFileOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "size=64k")
	h := host.NewHere(dir)
	path := filepath.Join(dir, "file")
	if err := h.WriteFile(t.Context(), path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(t.Context(), path, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "old" {
		t.Errorf("it holds %q, %v", got, err)
	}
	entries, err := h.ReadDir(t.Context(), dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	if _, err := h.Open(t.Context(), filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
