package snapshot

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback makes the kernel begin writing a part of a file to disk, so
// that the sync at the end has little left to wait for.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE) // a hint
}
