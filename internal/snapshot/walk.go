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
	ignoreName string
	always     *ignoreRules // the caller's own excludes, above every file's rules
	skip       map[inode]bool
	cache      *sourceCache

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
	if w.err != nil {
		return nil, w.err
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
	defer unix.Close(fd) //nolint:errcheck // only read from
	slices.Sort(names)
	rules := step.rules
	if _, ok := slices.BinarySearch(names, w.ignoreName); ok {
		if rules, err = rules.read(abs, rel, w.ignoreName); err != nil {
			return found, err
		}
	}
	old, cached := w.cache.dirs[rel]
	reader := cacheReader{s: old.data}
	var last node // the cache's next node that is not behind us
	lastOK := false
	kept := 0

	nodes := make([]node, 0, len(names))
	for _, name := range names {
		if neverTaken(name) {
			continue
		}
		var st unix.Stat_t
		if err := fstatat(fd, name, &st); errors.Is(err, unix.ENOENT) {
			continue // gone since the directory was read: not there
		} else if err != nil {
			return found, fmt.Errorf("read source directory: %w", &os.PathError{Op: "lstat", Path: filepath.Join(abs, name), Err: err})
		}
		n := node{name: name, stat: statOf(&st)}
		isDir := n.stat.mode&unix.S_IFMT == unix.S_IFDIR
		if w.always != nil || rules != nil {
			path := joinPath(rel, name)
			if w.always.excluded(path, name, isDir) || rules.excluded(path, name, isDir) {
				continue
			}
		}
		if isDir && w.skip[inode{dev: uint64(st.Dev), ino: st.Ino}] { //nolint:unconvert // 32 bits on darwin
			continue
		}
		for cached && reader.s != "" && last.name < name {
			last = node{}
			lastOK = reader.node(&last)
		}
		same := last.name == name && lastOK && (last.stat == n.stat || isDir && last.stat.mode == n.stat.mode)
		if same {
			kept++
		}
		switch n.stat.mode & unix.S_IFMT {
		case unix.S_IFDIR:
			n.kind = KindDir
			n.dir = &dirNode{path: joinPath(rel, name)}
			found.steps = append(found.steps, walkStep{dir: n.dir, rules: rules})
			found.totals.Dirs++
		case unix.S_IFREG:
			n.kind = KindFile
			n.known, n.digest = same, last.digest
			found.totals.Files++
			found.totals.Bytes += n.stat.size
		case unix.S_IFLNK:
			n.kind = KindLink
			if n.target = last.target; !same {
				if n.target, err = readlinkat(fd, name); err != nil {
					return found, fmt.Errorf("read source directory: %w", &os.PathError{Op: "readlink", Path: filepath.Join(abs, name), Err: err})
				}
			}
			found.totals.Links++
		default:
			found.special = append(found.special, SpecialFile{Path: joinPath(rel, name), Kind: specialKind(n.stat.mode)})
			continue
		}
		nodes = append(nodes, n)
	}
	step.dir.nodes = nodes
	found.changed = !cached || kept != len(nodes) || old.count != len(nodes)
	return found, nil
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
			unix.Close(fd) //nolint:errcheck // only read from
			return -1, nil, err
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
