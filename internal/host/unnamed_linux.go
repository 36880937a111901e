package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// unnamedFile is a file that nobody else sees and that goes with its last user:
// nothing of it is on a disk, whoever is killed. Nil when none can be made.
func unnamedFile() *os.File {
	fd, err := unix.MemfdCreate("runner-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), "runner-stderr")
}
