package host

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// bootID changes with each boot.
func bootID() string {
	t, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return ""
	}
	return strconv.FormatInt(t.Sec, 10)
}

// chmodDir changes the mode of a directory, and of nothing that a link at that
// name would lead to.
func chmodDir(path string, mode uint32) error {
	return unix.Fchmodat(unix.AT_FDCWD, path, mode, unix.AT_SYMLINK_NOFOLLOW)
}

// maxInherited is how many descriptors a shell may have left open for us.
const maxInherited = 256

// keepFilesHome makes that no child inherits what we were started with.
func keepFilesHome() {
	for fd := 3; fd < maxInherited; fd++ {
		unix.CloseOnExec(fd)
	}
}
