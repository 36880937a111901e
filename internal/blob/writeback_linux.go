package blob

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeBack lets the disk begin to write a part of a file, and waits for nothing.
// That it could not is told by the Sync at the end.
func writeBack(f *os.File, s span) {
	_ = unix.SyncFileRange(int(f.Fd()), s.off, s.n, unix.SYNC_FILE_RANGE_WRITE)
}
