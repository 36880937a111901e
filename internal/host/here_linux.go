package host

import (
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID changes with each boot.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// chmodDir changes the mode of a directory, and of nothing that a link at that
// name would lead to.
func chmodDir(path string, mode uint32) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written through it
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

// keepFilesHome makes that no child inherits what we were started with (a
// shell's extra descriptors). All that Go opens is marked so already.
func keepFilesHome() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux before 5.11 has it not
}
