package blob

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writeBack lets the disk begin to write a part of a file, and waits for nothing.
// That it could not is told by the Sync at the end.
func writeBack(f *os.File, s span) {
	_ = unix.SyncFileRange(int(f.Fd()), s.off, s.n, unix.SYNC_FILE_RANGE_WRITE)
}

// reserve makes the disk keep room for a file of that size, so that a full one is
// known before anything travels. Not every file system can.
func reserve(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
