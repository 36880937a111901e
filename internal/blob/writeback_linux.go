package blob

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/partfile"
)

// writeBack lets the disk begin to write a part of a file, and waits for nothing.
// That it could not is told by the Sync at the end.
func writeBack(f *os.File, s partfile.Span) {
	_ = unix.SyncFileRange(int(f.Fd()), s.Off, s.N, unix.SYNC_FILE_RANGE_WRITE)
}
