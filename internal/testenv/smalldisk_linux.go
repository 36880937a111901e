package testenv

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk mounts a file system at dir, which it makes, until the test ends: a disk that is soon full. The
// options are tmpfs's own, "size=2m" or "nr_inodes=60". It needs root.
func SmallDisk(t testing.TB, dir, options string) {
	t.Helper()
	Need(t, "a small disk", smallDisk(dir, options))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

func smallDisk(dir, options string) error {
	if os.Geteuid() != 0 {
		return errNeedsRoot
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}
