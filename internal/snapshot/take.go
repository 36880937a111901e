package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultMaxBytes is how much a source directory may hold: 300 MiB.
const DefaultMaxBytes = 300 << 20

// Options say what to picture of a source directory.
type Options struct {
	// MaxBytes bounds the sizes of all files together, in bytes; 0 means
	// DefaultMaxBytes, a negative number no limit.
	MaxBytes int64
	// Exclude are more ignore patterns, as in an ignore file at the root. They
	// outrank the files'.
	Exclude []string
	// Whole takes everything, as data is to be: no ignore file counts, and no
	// name is left out.
	Whole bool
	// Only is the one name in the source directory that is pictured, a file;
	// empty: all. Nothing else of the directory is looked at.
	Only string
	// SkipDirs are directories that are left out when they lie inside the
	// source directory, such as $RUNNER_HOME. The store itself always is.
	SkipDirs []string
	// DryRun stores nothing and remembers nothing: the result says what the
	// picture would be, but for Stored, which is 0.
	DryRun bool
	// Later, when not nil, is given what only makes the next Take of the
	// directory faster, to be carried out while the caller goes on.
	Later func(remember func())
	// Progress, when not nil, is told how far it is, at the beginning, about
	// ten times a second, and at the end.
	Progress func(Progress)
}

// Snapshot is a picture that is in the store.
type Snapshot struct {
	ID     ID
	Totals       // what is in it
	Reused int   // files that were not read, because they had not changed
	Stored int64 // bytes that the store grew by
}

// Take pictures a source directory. Errors it can name: TooLargeError,
// LinkError, SpecialFileError, ChangedError.
func (s *Store) Take(ctx context.Context, srcDir string, opt Options) (Snapshot, error) {
	root, err := sourceRoot(srcDir)
	if err != nil {
		return Snapshot{}, err
	}
	v, err := s.look(ctx, unix.LOCK_SH)
	if err != nil {
		return Snapshot{}, err
	}
	defer v.close()
	t := &taking{s: s, view: v, root: root, opt: opt}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		snap, err := t.take(ctx)
		if err == nil {
			v.close()
			_ = s.tidy(ctx, len(v.packs)) // the picture is good without
			return snap, nil
		}
		var gone *ChangedError
		if attempt == attempts || !errors.As(err, &gone) || !gone.Vanished {
			return Snapshot{}, nameIgnore(err, t.ignoreFile())
		}
		// A name that was listed is no longer what it was: look at all again.
		if err := pause(ctx, time.Duration(attempt)*20*time.Millisecond); err != nil {
			return Snapshot{}, err
		}
	}
}

func sourceRoot(dir string) (string, error) {
	root, err := filepath.Abs(dir)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return "", fmt.Errorf("source directory: %w", err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return "", fmt.Errorf("source directory: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("source directory: %w", &os.PathError{Op: "open", Path: root, Err: unix.ENOTDIR})
	}
	return root, nil
}

// taking is one Take at work.
type taking struct {
	s    *Store
	view *view
	root string
	opt  Options
}

// key is what the source is remembered under.
func (t *taking) key() string {
	if t.opt.Only == "" {
		return t.root
	}
	return t.root + "\x00" + t.opt.Only
}

func (t *taking) take(ctx context.Context) (Snapshot, error) {
	begun := time.Now()
	self, err := inodeOf(t.root)
	if err != nil {
		return Snapshot{}, fmt.Errorf("source directory: %w", err)
	}
	cache := loadCache(t.s.dirs.caches(), t.key(), self.dev)
	trusted := len(cache.dirs) > 0 && t.view.intact(cache.packs)
	w, err := t.walker(cache)
	if err != nil {
		return Snapshot{}, err
	}
	tree, err := w.walk(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	if err := t.checkSize(w.totals.Bytes, tree); err != nil {
		return Snapshot{}, err
	}
	if !w.changed && trusted && t.s.valid(cache.id) {
		newMeter(t.opt.Progress, w.totals).all()
		if t.opt.DryRun {
			return Snapshot{ID: cache.id, Totals: w.totals, Reused: w.totals.Files}, nil
		}
		return Snapshot{ID: cache.id, Totals: w.totals, Reused: w.totals.Files}, t.s.touch(cache.id)
	}
	if w.totals.Links > 0 {
		entries := tree.flatten(make([]Entry, 0, w.totals.Files+w.totals.Links+w.totals.Dirs))
		if leading := leadingLinks(entries); len(leading) > 0 {
			return Snapshot{}, &LinkError{Links: leading}
		}
	}
	return t.readAll(ctx, begun, self.dev, cache, trusted, w, tree)
}

func (t *taking) walker(cache *sourceCache) (*walker, error) {
	name, err := ignoreKind(t.root)
	if err != nil {
		return nil, err
	}
	w := &walker{root: t.root, only: t.opt.Only, ignoreName: name, whole: t.opt.Whole, cache: cache, skip: map[inode]bool{t.s.self: true}}
	for _, dir := range t.opt.SkipDirs {
		if id, err := inodeOf(dir); err == nil {
			w.skip[id] = true
		}
	}
	if len(t.opt.Exclude) > 0 {
		w.always = &ignoreRules{patterns: parsePatterns([]byte(strings.Join(t.opt.Exclude, "\n")))}
	}
	return w, nil
}

// ignoreFile names the ignore file that counts, or the one to make.
func (t *taking) ignoreFile() string {
	names := ignoreNames()
	name, err := ignoreKind(t.root)
	if err != nil {
		return names[0]
	}
	if _, err := os.Stat(filepath.Join(t.root, name)); err != nil {
		return names[0]
	}
	return name
}

func (t *taking) checkSize(bytes int64, tree *dirNode) error {
	limit := t.opt.MaxBytes
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if limit < 0 || bytes <= limit {
		return nil
	}
	var sizes []FileSize
	tree.files(func(dir *dirNode, n *node) bool {
		sizes = append(sizes, FileSize{Path: joinPath(dir.path, n.name), Size: n.stat.size})
		return true
	})
	slices.SortStableFunc(sizes, func(a, b FileSize) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	const shown = 10
	return &TooLargeError{Dir: t.root, Bytes: bytes, Max: limit, Largest: slices.Clone(sizes[:min(shown, len(sizes))])}
}

// readAll reads what is not known, and commits the picture.
func (t *taking) readAll(ctx context.Context, begun time.Time, dev uint64, cache *sourceCache, trusted bool, w *walker, tree *dirNode) (Snapshot, error) {
	r := &reader{
		root: t.root, view: t.view, writer: newPackWriter(t.s.dirs, begun), trusted: trusted, dry: t.opt.DryRun,
		meter: newMeter(t.opt.Progress, w.totals), packs: make(map[string]bool),
	}
	defer r.writer.abort()
	if err := r.readFiles(ctx, tree); err != nil {
		return Snapshot{}, err
	}
	snap := Snapshot{Totals: w.totals}
	snap.Bytes = 0
	tree.files(func(_ *dirNode, n *node) bool {
		snap.Bytes += n.stat.size
		if n.known {
			snap.Reused++
		}
		return true
	})
	if err := t.checkSize(snap.Bytes, tree); err != nil { // a file may have grown since
		return Snapshot{}, err
	}
	entries := tree.flatten(make([]Entry, 0, w.totals.Files+w.totals.Links+w.totals.Dirs))
	data := encodeManifest(entries)
	if n := w.totals.Files + w.totals.Links + w.totals.Dirs; n > maxEntries || len(data) > maxManifest {
		return Snapshot{}, fmt.Errorf("source directory %s holds %d files and directories, more than a snapshot can: exclude some in %s", t.root, n, t.ignoreFile())
	}
	if !r.writer.complete() {
		return Snapshot{}, &ChangedError{Path: ".", Vanished: true} // a file changed whose content another one shared
	}
	snap.Stored = r.writer.written()
	snap.ID = idOf(sha256.Sum256(data))
	if r.dry {
		r.meter.done()
		return snap, nil
	}
	pack, err := t.s.commit(ctx, r.writer, snap.ID, data)
	if err != nil {
		return Snapshot{}, err
	}
	if file, err := os.Stat(t.s.dirs.manifest(snap.ID)); err == nil {
		t.s.recent.keep(&Manifest{ID: snap.ID, Entries: entries}, file) // who takes a picture looks at it
	}
	if pack != "" {
		r.packs[pack] = true
	}
	if trusted {
		for _, p := range cache.packs {
			r.packs[p] = true
		}
	}
	packs := make([]string, 0, len(r.packs))
	for p := range r.packs {
		packs = append(packs, p)
	}
	slices.Sort(packs)
	remember := func() {
		const meanNode = 128
		nodes := appendDirs(make([]byte, 0, (snap.Files+snap.Links+snap.Dirs)*meanNode), tree, begun)
		t.saveCache(encodeCache(t.key(), dev, snap.ID, packs, nodes))
	}
	if later := t.opt.Later; later != nil {
		later(remember)
	} else {
		remember()
	}
	r.meter.done()
	return snap, nil
}

// saveCache keeps what was seen. Failing to only costs time later.
func (t *taking) saveCache(data []byte) {
	tmp, err := t.s.stage("source-", data, false)
	if err != nil {
		return
	}
	if err := os.Rename(tmp, cachePath(t.s.dirs.caches(), t.key())); err != nil {
		_ = os.Remove(tmp) // else the next Open sweeps it away
	}
}

// readFiles stores every file of the tree, as many at a time as there are
// processors.
func (r *reader) readFiles(ctx context.Context, tree *dirNode) error {
	type item struct {
		dir *dirNode
		n   *node
	}
	var items []item
	tree.files(func(dir *dirNode, n *node) bool {
		if n.known && r.trusted {
			r.meter.add(n.stat.size)
		} else {
			items = append(items, item{dir, n})
		}
		return true
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		wg.Go(func() {
			var buf scratch
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) || ctx.Err() != nil {
					return
				}
				if err := r.store(ctx, items[i].dir, items[i].n, &buf); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
