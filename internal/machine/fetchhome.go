package machine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/onhost"
)

const (
	// fewBytes is the size up to which a file is held in memory on its way
	// home, so that several can be stored at once.
	fewBytes = 4 << 20
	// heldBytes bounds what such files take.
	heldBytes = 32 << 20
	// storedAtOnce is how many of them are: a disk syncs many at once as fast as
	// a few.
	storedAtOnce = 96
)

// fetchHome brings everything home from another machine.
func (m *Machine) fetchHome(ctx context.Context, at place, sink artifact.Sink, left string) error {
	f := newFetching(sink, at.nameAtHome)
	var from []string
	for _, top := range []string{"outputs", "logs"} {
		from = append(from, path.Join(at.work(), top))
	}
	for _, o := range at.ours() {
		from = append(from, o.source)
	}
	if err := f.all(ctx, m.remote.bulk, from); err != nil {
		return err
	}
	if err := forgotten(ctx, sink, f.names()); err != nil {
		return err
	}
	if text := strings.Join(f.remarks, "") + left; text != "" {
		if err := putText(ctx, sink, remarksFile, text); err != nil {
			return err
		}
	}
	return sink.Settle(ctx)
}

// fetching is one fetchHome at work.
type fetching struct {
	sink artifact.Sink
	// nameOf something at home. mine: it is not the script's.
	nameOf func(there string, taken map[string]bool) (name string, mine bool)
	// live says that the script runs: what it is writing does not come now.
	live bool
	// storing are small files on their way to the disk, whose bytes are held.
	storing *errgroup.Group
	held    *semaphore.Weighted
	buffers sync.Pool // of *bytes.Buffer
	// done are files that came whole, as they were there then.
	mu      sync.Mutex
	done    map[string]bool
	items   []onhost.Item
	home    []string // by item: its name at home; empty: it is not kept
	remarks []string
}

func newFetching(sink artifact.Sink, nameOf func(string, map[string]bool) (string, bool)) *fetching {
	return &fetching{sink: sink, nameOf: nameOf, held: semaphore.NewWeighted(heldBytes), done: map[string]bool{}}
}

func (f *fetching) all(ctx context.Context, bulk *onhost.Client, from []string) error {
	var within context.Context
	f.storing, within = errgroup.WithContext(ctx)
	f.storing.SetLimit(storedAtOnce)
	choose := func(items []onhost.Item) ([]onhost.Wish, error) { return f.choose(within, items) }
	err := bulk.Fetch(within, from, choose, func(i int, at int64, r io.Reader) error {
		return f.take(within, i, at, r)
	})
	if err := f.storing.Wait(); err != nil { // which cut the fetching off
		return err
	}
	return err
}

// names at home of all that was found there.
func (f *fetching) names() map[string]bool {
	names := make(map[string]bool, len(f.items))
	for _, i := range f.items {
		if name, _ := f.nameOf(i.Path, nil); i.Mode.IsDir() || !isTop(name) {
			names[name] = true
		}
	}
	return names
}

// version of a file: what it was when it came.
func version(i onhost.Item) string { return i.Path + "\x00" + i.Changed.String() }

// choose stores what needs no content and says which files are wanted.
func (f *fetching) choose(ctx context.Context, items []onhost.Item) ([]onhost.Wish, error) {
	f.items, f.home, f.remarks = items, make([]string, len(items)), nil
	taken := make(map[string]bool, len(items))
	for _, i := range items {
		taken[i.Path] = true
	}
	var wishes []onhost.Wish
	for n, i := range items {
		name, mine := f.nameOf(i.Path, taken)
		var err error
		switch mode := i.Mode; {
		case mine && !mode.IsRegular():
			continue // not what our supervisor wrote
		case mode.IsRegular() && !isTop(name):
			f.home[n] = name
			if f.came(i) || f.live && !ready(i, mine) {
				continue
			}
			w := onhost.Wish{Index: n, Quiet: f.live && !mine}
			var same bool
			if same, w.Have, err = f.here(ctx, name, i); same || err != nil {
				break
			}
			if w.At, w.Begun, err = f.begun(ctx, name, i.Size); err == nil {
				wishes = append(wishes, w)
			}
		case mode.IsDir():
			if i.Empty {
				err = f.sink.Mkdir(ctx, name)
			}
		case mode&fs.ModeSymlink != 0 && !isTop(name) && !artifact.LeadsOut(name, i.Target):
			err = f.sink.Link(ctx, name, i.Target)
		default:
			f.remarks = append(f.remarks, remark(name, mode, linkTarget(name, i.Target)))
		}
		if err != nil {
			return nil, err
		}
	}
	return wishes, nil
}

func isTop(name string) bool { return !strings.Contains(name, "/") }

// linkTarget is what a remark says of a link; one in place of outputs/ or logs/
// is only no directory.
func linkTarget(name, target string) string {
	if isTop(name) {
		return ""
	}
	return target
}

// nameAtHome of something below work/, or of one of our files, which are mine
// and not the script's.
func (p place) nameAtHome(there string, taken map[string]bool) (name string, mine bool) {
	for _, o := range p.ours() {
		if there == o.source {
			return "logs/" + o.name, true
		}
	}
	name = strings.TrimPrefix(there, p.work()+"/")
	for _, o := range p.ours() {
		if name != "logs/"+o.name {
			continue
		}
		free := o.aside()
		for i := 2; taken[path.Join(p.work(), "logs", free)]; i++ {
			free = o.asideAgain(i)
		}
		return "logs/" + free, false
	}
	return name, false
}

// here says whether a file is at home already, as far as its size and time tell;
// if it may be, it gives the digest of what is.
func (f *fetching) here(ctx context.Context, name string, i onhost.Item) (same bool, digest []byte, err error) {
	at, ok := f.sink.(artifact.Folder)
	if !ok {
		return false, nil, nil
	}
	there, err := at.Stat(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && (!there.Mode.IsRegular() || there.Size != i.Size):
		return false, nil, nil
	case err != nil:
		return false, nil, err
	case !i.Fresh && there.Modified.Equal(i.Changed):
		return true, nil, nil
	}
	digest, err = at.Digest(ctx, name)
	return false, digest, err
}

// fileOf is how something is kept at home. What may still be changing keeps no
// time: its time does not tell what it holds.
func fileOf(name string, i onhost.Item) artifact.File {
	f := artifact.File{Path: name, Size: -1, Mode: i.Mode.Perm()}
	if !i.Fresh {
		f.Modified = i.Changed
	}
	return f
}

// begun is how much came of a large file before the line was cut, and its digest.
func (f *fetching) begun(ctx context.Context, name string, size int64) (int64, []byte, error) {
	from, ok := f.sink.(artifact.Resumer)
	if !ok || size <= fewBytes {
		return 0, nil, nil
	}
	at, digest, err := from.Begun(ctx, name)
	if err != nil || at > size {
		return 0, nil, err
	}
	return at, digest, nil
}

// take stores one file, from byte at on: a small one beside others.
func (f *fetching) take(ctx context.Context, n int, at int64, content io.Reader) error {
	i, name := f.items[n], f.home[n]
	if name == "" {
		return errNotWanted
	}
	if at > 0 || i.Size > fewBytes {
		if err := f.takeLarge(ctx, i, name, at, content); err != nil {
			return err
		}
		f.noteCame(i)
		return nil
	}
	if err := f.held.Acquire(ctx, i.Size); err != nil {
		return context.Cause(ctx)
	}
	held, _ := f.buffers.Get().(*bytes.Buffer)
	if held == nil {
		held = new(bytes.Buffer)
	}
	held.Reset()
	held.Grow(int(i.Size) + bytes.MinRead)
	if _, err := held.ReadFrom(content); err != nil {
		f.held.Release(i.Size)
		return err
	}
	f.noteCame(i) // or storing fails, and all of it
	file := fileOf(name, i)
	file.Size = int64(held.Len())
	f.storing.Go(func() error {
		defer f.held.Release(i.Size)
		defer f.buffers.Put(held)
		return f.sink.Put(ctx, file, held)
	})
	return nil
}

func (f *fetching) takeLarge(ctx context.Context, i onhost.Item, name string, at int64, content io.Reader) error {
	if at == 0 {
		return f.sink.Put(ctx, fileOf(name, i), content)
	}
	to, ok := f.sink.(artifact.Resumer)
	if !ok {
		return errNotWanted
	}
	return to.PutRest(ctx, fileOf(name, i), at, content)
}

// liveLog is how large a log may be that is brought home again and again while
// it grows.
const liveLog = 64 << 20

// ready says whether a file comes while the script runs. One of the script's
// that was changed just now is perhaps being written, and half of it is worth
// less than what it was before; our own only grow.
func ready(i onhost.Item, mine bool) bool {
	if mine {
		return i.Size <= liveLog
	}
	return !i.Fresh
}

func (f *fetching) came(i onhost.Item) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done[version(i)]
}

func (f *fetching) noteCame(i onhost.Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[version(i)] = true
}

// errNotWanted is a file that we did not ask for.
var errNotWanted = errors.New("a file came that was not asked for")
