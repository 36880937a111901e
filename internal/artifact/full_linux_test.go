package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// On a full disk nothing is visible, and nothing keeps it full.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	mount := t.TempDir()
	const size = 4 << 20
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	d := OpenDirectory(filepath.Join(mount, "home"))
	if err := d.Put(t.Context(), File{Path: "outputs/small", Size: 1}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := d.Put(t.Context(), File{Path: "outputs/large", Size: -1}, strings.NewReader(strings.Repeat("x", 2*size)))
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v", err)
		}
	}
	if got := names(t, d); len(got) != 1 {
		t.Errorf("there is %q", got)
	}
	if err := d.Put(t.Context(), File{Path: "outputs/half", Size: -1}, strings.NewReader(strings.Repeat("x", size/2))); err != nil {
		t.Errorf("what was cut off takes its room: %v", err)
	}
}
