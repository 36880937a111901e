package snapshot

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// traitsOf says what a directory has beside its mode and its names: owner,
// extended attributes (access lists are among them) and flags. A file's need no
// such look: any change of them shows in its times.
func traitsOf(fd int) (string, error) {
	var st unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstat(fd, &st) }); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %d %d", st.Dev, st.Uid, st.Gid, changeableFlags(fd))
	names, err := attributes(func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if err != nil || len(names) == 0 {
		return b.String(), err
	}
	list := strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00")
	slices.Sort(list)
	for _, name := range list {
		value, err := attributes(func(buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " %q=%q", name, value)
	}
	return b.String(), nil
}

// attributes reads what a system call gives of extended attributes. A file
// system that has none of them has an empty list.
func attributes(call func([]byte) (int, error)) ([]byte, error) {
	const most = 64 << 10 // the kernel's limit of a list, and of a value
	var none [0]byte
	n, err := retry(func() (int, error) { return call(none[:]) })
	if err == unix.ENOTSUP || err == nil && n == 0 { //nolint:errorlint // a system call's
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, most)
	n, err = retry(func() (int, error) { return call(buf) })
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// changeableFlags are those that chattr changes; zero where there are none.
func changeableFlags(fd int) int {
	const userModifiable = 0x000380ff
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0
	}
	return flags & userModifiable
}
