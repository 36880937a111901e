package workcopy

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// showsChanges says whether the file system of a path writes down the time of
// every change of a file's content at once, also of one through memory: tmpfs
// does not, and network file systems do it late.
func showsChanges(path string) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return false
	}
	switch uint32(st.Type) { //nolint:gosec // a magic number
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return true
	default:
		return false
	}
}

// roomFor says whether a disk has room for what need not be on it.
func roomFor(path string, bytes int64) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return false
	}
	const least, part = 1 << 30, 20
	free, all := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	return free > max(least, all/part, bytes)
}

// inUse says whether a process holds on to something in a directory, as far as
// we may see: it has it open or mapped, works in it, or has mounted it. Such a
// process outlived its attempt's end, and could write on.
func inUse(ctx context.Context, dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return true
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	mounts := map[string]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ctx.Err() != nil || holds("/proc/"+strconv.Itoa(pid), dir, mounts) {
			return true
		}
	}
	return false
}

// holds says whether the process that proc describes holds something in dir;
// mounts are the name spaces that were looked at.
func holds(proc, dir string, mounts map[string]bool) bool {
	inside := func(link string) bool {
		to, err := os.Readlink(link)
		return err == nil && (to == dir || strings.HasPrefix(to, dir+"/"))
	}
	if inside(proc+"/cwd") || inside(proc+"/root") {
		return true
	}
	if d, err := os.Open(proc + "/fd"); err == nil {
		names, _ := d.Readdirnames(-1) // the process may end meanwhile
		_ = d.Close()                  // only read
		for _, n := range names {
			if inside(proc + "/fd/" + n) {
				return true
			}
		}
	}
	if maps, err := os.ReadFile(proc + "/maps"); err == nil && strings.Contains(string(maps), dir+"/") {
		return true
	}
	space, err := os.Readlink(proc + "/ns/mnt")
	if err != nil || mounts[space] {
		return false
	}
	mounts[space] = true
	table, err := os.ReadFile(proc + "/mountinfo")
	return err == nil && mounted(string(table), dir)
}

// mounted says whether a table of mounts has one of, or in, a directory, by
// whatever name the file system itself has for it.
func mounted(table, dir string) bool {
	names := []string{dir} // as its file system may call it, which is mounted somewhere
	for rest := dir; strings.Count(rest, "/") > 2; {
		rest = rest[1:]
		rest = rest[strings.IndexByte(rest, '/'):]
		names = append(names, rest)
	}
	within := func(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
	for line := range strings.Lines(table) {
		const root, point = 3, 4
		fields := strings.Fields(line)
		if len(fields) <= point {
			continue
		}
		if within(fields[point], dir) {
			return true
		}
		for _, name := range names {
			if within(fields[root], name) {
				return true
			}
		}
	}
	return false
}
