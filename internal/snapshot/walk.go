package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// walker reads a source directory tree, several directories at a time.
type walker struct {
	root       string
	only       string // the one name at the top; empty: all
	ignoreName string
	whole      bool         // no rules but always
	always     *ignoreRules // the caller's own excludes, above every file's rules
	skip       map[inode]bool
	cache      *sourceCache
	copied     bool // it is a working copy: everything in it is listed, whatever it is

	mu      sync.Mutex
	wake    *sync.Cond
	todo    []walkStep
	busy    int
	err     error
	special []SpecialFile
	changed bool // something differs from the cache
	totals  Totals
}

// inode identifies a directory whatever it is called.
type inode struct{ dev, ino uint64 }

type walkStep struct {
	dir   *dirNode
	rules *ignoreRules
}

// walk gives the tree, files not yet read. What the cache knows of a file is
// filled in.
func (w *walker) walk(ctx context.Context) (*dirNode, error) {
	w.wake = sync.NewCond(&w.mu)
	tree := &dirNode{}
	w.todo = []walkStep{{dir: tree}}
	stop := context.AfterFunc(ctx, func() { w.fail(context.Cause(ctx)) })
	defer stop()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(w.work)
	}
	wg.Wait()
	w.mu.Lock()
	err := w.err // of a context that ends just now, too
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(w.special) > 0 {
		slices.SortFunc(w.special, func(a, b SpecialFile) int { return comparePaths(a.Path, b.Path) })
		return nil, &SpecialFileError{Files: w.special}
	}
	return tree, nil
}

func (w *walker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.wake.Broadcast()
}

func (w *walker) work() {
	r := dirReader{buf: make([]byte, 32<<10)}
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.todo) == 0 && w.busy > 0 && w.err == nil {
			w.wake.Wait()
		}
		if len(w.todo) == 0 || w.err != nil {
			return
		}
		step := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		w.busy++
		w.mu.Unlock()
		found, err := w.readDir(&r, step)
		w.mu.Lock()
		w.busy--
		if err != nil && w.err == nil {
			w.err = err
		}
		w.todo = append(w.todo, found.steps...)
		w.special = append(w.special, found.special...)
		w.changed = w.changed || found.changed
		w.totals.Files += found.totals.Files
		w.totals.Links += found.totals.Links
		w.totals.Dirs += found.totals.Dirs
		w.totals.Bytes += found.totals.Bytes
		if len(w.todo) > 0 || w.busy == 0 || w.err != nil {
			w.wake.Broadcast()
		}
	}
}

// findings are what one directory adds to the walk.
type findings struct {
	steps   []walkStep
	special []SpecialFile
	changed bool
	totals  Totals
}

func (w *walker) readDir(r *dirReader, step walkStep) (findings, error) {
	var found findings
	rel := step.dir.path
	abs := w.root
	if rel != "" {
		abs = w.root + "/" + rel
	}
	fd, names, err := r.open(abs, rel != "")
	if errors.Is(err, unix.ENOENT) && rel != "" {
		return found, &ChangedError{Path: rel, Vanished: true}
	}
	if err != nil {
		return found, fmt.Errorf("read source directory: %w", &os.PathError{Op: "open", Path: abs, Err: err})
	}
	defer unix.Close(fd)
	if w.copied {
		if step.dir.trait, err = traitsOf(fd); err != nil {
			return found, fmt.Errorf("read source directory: %w", &os.PathError{Op: "stat", Path: abs, Err: err})
		}
	}
	if rel == "" && w.only != "" {
		names = []string{w.only}
	}
	slices.Sort(names)
	rules := step.rules
	if _, ok := slices.BinarySearch(names, w.ignoreName); ok && !w.whole {
		if rules, err = rules.read(abs, rel, w.ignoreName); err != nil {
			return found, err
		}
	}
	at := place{walker: w, fd: fd, abs: abs, rel: rel, rules: rules, found: &found}
	at.old, at.cached = w.cache.dirs[rel]
	at.reader.s = at.old.data
	nodes := make([]node, 0, len(names))
	for _, name := range names {
		n, ok, err := at.node(name)
		if err != nil {
			return found, err
		}
		if ok {
			nodes = append(nodes, n)
		}
	}
	step.dir.nodes = nodes
	found.changed = !at.cached || at.kept != len(nodes) || at.old.count != len(nodes)
	return found, nil
}

// place is the directory that is being read, beside what the cache has of it.
type place struct {
	*walker
	fd       int
	abs, rel string
	rules    *ignoreRules
	found    *findings

	old    cachedDir
	cached bool
	reader cacheReader
	last   node // the cache's next node that is not behind us
	lastOK bool // its digest or target may be used
	kept   int  // nodes that are as the cache has them
}

// node looks at one name, in order; ok says whether it is taken.
func (p *place) node(name string) (n node, ok bool, err error) {
	if neverTaken(name) && !p.whole {
		return n, false, nil
	}
	var st unix.Stat_t
	if err := fstatat(p.fd, name, &st); errors.Is(err, unix.ENOENT) {
		return n, false, nil // gone since the directory was read: not there
	} else if err != nil {
		return n, false, p.failed("lstat", name, err)
	}
	n = node{name: name, stat: statOf(&st)}
	kind := n.stat.mode & unix.S_IFMT
	if p.excluded(name, kind == unix.S_IFDIR) {
		return n, false, nil
	}
	if kind == unix.S_IFDIR && p.skip[inode{dev: uint64(st.Dev), ino: st.Ino}] { //nolint:unconvert // 32 bits on darwin
		return n, false, nil
	}
	same := p.isCached(&n)
	switch kind {
	case unix.S_IFDIR:
		n.kind = KindDir
		n.dir = &dirNode{path: joinPath(p.rel, name)}
		p.found.steps = append(p.found.steps, walkStep{dir: n.dir, rules: p.rules})
		p.found.totals.Dirs++
	case unix.S_IFREG:
		n.kind = KindFile
		n.known, n.digest = same, p.last.digest
		n.recent = !same && p.last.name == name && p.last.stat == n.stat
		p.found.totals.Files++
		p.found.totals.Bytes += n.stat.size
	case unix.S_IFLNK:
		n.kind = KindLink
		if n.target = p.last.target; !same {
			if n.target, err = readlinkat(p.fd, name); err != nil {
				return n, false, p.failed("readlink", name, err)
			}
		}
		n.known = same || p.last.name == name && p.last.stat == n.stat // its target was read just now
		p.found.totals.Links++
	default:
		if p.copied {
			return n, true, nil
		}
		p.found.special = append(p.found.special, SpecialFile{Path: joinPath(p.rel, name), Kind: specialKind(n.stat.mode)})
		return n, false, nil
	}
	return n, true, nil
}

func (p *place) excluded(name string, dir bool) bool {
	if p.always == nil && p.rules == nil {
		return false
	}
	path := joinPath(p.rel, name)
	return p.always.excluded(path, name, dir) || p.rules.excluded(path, name, dir)
}

// isCached moves on in the cache to the node's name and says whether the cache
// has it as it is.
func (p *place) isCached(n *node) bool {
	for p.cached && p.reader.s != "" && p.last.name < n.name {
		p.last = node{}
		p.lastOK = p.reader.node(&p.last)
	}
	if p.last.name != n.name || !p.lastOK {
		return false
	}
	isDir := n.stat.mode&unix.S_IFMT == unix.S_IFDIR
	if p.last.stat != n.stat && (!isDir || p.last.stat.mode != n.stat.mode) {
		return false
	}
	p.kept++
	return true
}

func (p *place) failed(op, name string, err error) error {
	return fmt.Errorf("read source directory: %w", &os.PathError{Op: op, Path: filepath.Join(p.abs, name), Err: err})
}

// dirReader lists directories with one buffer.
type dirReader struct {
	buf   []byte
	names []string
}

// open gives a directory's descriptor and the names in it, which are good
// until the next call. A link in place of a directory is not followed, but for
// the source directory itself.
func (r *dirReader) open(path string, within bool) (int, []string, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if within {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := retry(func() (int, error) { return unix.Open(path, flags, 0) })
	if err != nil {
		return -1, nil, err
	}
	r.names = r.names[:0]
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(fd, r.buf) })
		if err != nil {
			return -1, nil, errors.Join(err, unix.Close(fd))
		}
		if n <= 0 {
			return fd, r.names, nil
		}
		_, _, r.names = unix.ParseDirent(r.buf[:n], -1, r.names)
	}
}

func fstatat(fd int, name string, st *unix.Stat_t) error {
	_, err := retry(func() (int, error) { return 0, unix.Fstatat(fd, name, st, unix.AT_SYMLINK_NOFOLLOW) })
	return err
}

func readlinkat(fd int, name string) (string, error) {
	buf := make([]byte, maxPath+1)
	n, err := retry(func() (int, error) { return unix.Readlinkat(fd, name, buf) })
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
