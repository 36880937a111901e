package snapshot

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// node is one name found in the source directory.
type node struct {
	name   string
	kind   Kind
	stat   fileStat
	known  bool   // files: digest comes from the cache; of a working copy, links too
	recent bool   // it is as the cache has it, but for a change in the moment that followed
	digest Digest // files
	target string // links
	dir    *dirNode
}

// dirNode is a directory and what is in it, by name.
type dirNode struct {
	path  string // relative to the source directory, "" for itself
	nodes []node
	trait string // of a working copy: traitsOf it
}

// fileStat is what tells that a file is the one that was read before.
type fileStat struct {
	mode  uint32 // type and permission bits
	size  int64
	mtime int64 // ns since 1970
	ctime int64 // ns since 1970
	ino   uint64
}

func statOf(st *unix.Stat_t) fileStat {
	return fileStat{
		mode:  uint32(st.Mode), //nolint:unconvert // 16 bits on darwin
		size:  st.Size,
		mtime: st.Mtim.Nano(),
		ctime: st.Ctim.Nano(),
		ino:   st.Ino,
	}
}

func (s *fileStat) lstat(name string) error {
	var st unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Lstat(name, &st) }); err != nil {
		return &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	*s = statOf(&st)
	return nil
}

func (s *fileStat) perm() uint32 { return s.mode & maxMode }

// settled says whether a change made after now would show in the file's
// times. A file system stamps with a clock that ticks every few milliseconds,
// some only every second or two: within one tick a second edit leaves no trace,
// so what is younger is read again next time (git calls this racily clean).
// The inode's own time decides, because no program can set it.
func (s *fileStat) settled(now time.Time) bool {
	const (
		tick       = 50 * time.Millisecond // five times the slowest kernel's
		coarseTick = 3 * time.Second
	)
	margin := tick
	if s.ctime%int64(time.Second) == 0 {
		margin = coarseTick
	}
	limit := now.Add(-margin).UnixNano()
	return s.ctime < limit && s.mtime < limit
}

// specialKind names what cannot be pictured, or gives "".
func specialKind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
		return ""
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device"
	default:
		return fmt.Sprintf("file type %#o", mode&unix.S_IFMT)
	}
}

// flatten lists the tree in the manifest's order.
func (d *dirNode) flatten(entries []Entry) []Entry {
	for i := range d.nodes {
		n := &d.nodes[i]
		e := Entry{Path: joinPath(d.path, n.name), Kind: n.kind}
		switch n.kind {
		case KindDir:
			e.Mode = n.stat.perm()
		case KindFile:
			e.Mode, e.Size, e.Digest = n.stat.perm(), n.stat.size, n.digest
		case KindLink:
			e.Target = n.target
		}
		entries = append(entries, e)
		if n.dir != nil {
			entries = n.dir.flatten(entries)
		}
	}
	return entries
}

// files gives every file of the tree with the path it has.
func (d *dirNode) files(yield func(dir *dirNode, n *node) bool) bool {
	for i := range d.nodes {
		n := &d.nodes[i]
		switch {
		case n.kind == KindFile && !yield(d, n):
			return false
		case n.dir != nil && !n.dir.files(yield):
			return false
		}
	}
	return true
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
