package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/onhost"
)

const (
	// fewBytes is the size up to which a file is held in memory on its way
	// home, so that several can be stored at once.
	fewBytes = 4 << 20
	// storedAtOnce is how many of them are.
	storedAtOnce = 8
)

// reader is a Sink that can say what it has, so that what came home before an
// agent died need not come again.
type reader interface {
	Open(name string) (artifact.Readable, error)
}

// fetchHome brings everything home from another machine in one stream.
func (m *Machine) fetchHome(ctx context.Context, at place, sink artifact.Sink, left string) error {
	f := &fetching{sink: sink, at: at, done: map[string]bool{}}
	var from []string
	for _, top := range []string{"outputs", "logs"} {
		from = append(from, path.Join(at.work(), top))
	}
	for _, o := range at.ours() {
		from = append(from, o.source)
	}
	var storing errgroup.Group
	storing.SetLimit(storedAtOnce)
	choose := func(items []onhost.Item) ([]onhost.Wish, error) { return f.choose(ctx, items) }
	err := m.remote.bulk.Fetch(ctx, from, choose, func(i int, r io.Reader) error {
		return f.take(ctx, &storing, i, r)
	})
	if err := errors.Join(err, storing.Wait()); err != nil {
		return err
	}
	text := strings.Join(f.remarks, "") + left
	if text == "" {
		return nil
	}
	return sink.Put(ctx, remarksFile, readable, int64(len(text)), strings.NewReader(text))
}

// fetching is one fetchHome at work.
type fetching struct {
	sink artifact.Sink
	at   place
	// done are files that came whole, as they were there then.
	done    map[string]bool
	items   []onhost.Item
	home    []string // by item: its name at home; empty: it is not kept
	remarks []string
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
			if !f.done[version(i)] {
				wishes = append(wishes, onhost.Wish{Index: n, Have: f.digest(name, i.Size)})
			}
		case mode.IsDir():
			if i.Empty {
				err = f.sink.Mkdir(ctx, name)
			}
		case mode&fs.ModeSymlink != 0 && !isTop(name) && !artifact.LeadsOut(name, i.Target):
			err = f.sink.Link(ctx, name, i.Target)
		default:
			f.remarks = append(f.remarks, remark(strings.TrimPrefix(i.Path, f.at.work()+"/"), mode, linkTarget(name, i.Target)))
		}
		if err != nil {
			return nil, err
		}
	}
	return wishes, nil
}

func isTop(name string) bool { return name == "outputs" || name == "logs" }

// linkTarget is what a remark says of a link; one in place of outputs/ or logs/
// is only no directory.
func linkTarget(name, target string) string {
	if isTop(name) {
		return ""
	}
	return target
}

// nameOf something at home. mine: it is not the script's.
func (f *fetching) nameOf(there string, taken map[string]bool) (name string, mine bool) {
	for _, o := range f.at.ours() {
		if there == o.source {
			return "logs/" + o.name, true
		}
	}
	name = strings.TrimPrefix(there, f.at.work()+"/")
	for _, o := range f.at.ours() {
		if name != "logs/"+o.name {
			continue
		}
		free := o.aside()
		for i := 2; taken[path.Join(f.at.work(), "logs", free)]; i++ {
			free = o.asideAgain(i)
		}
		return "logs/" + free, false
	}
	return name, false
}

// digest of what is at home under a name, if it may be the same.
func (f *fetching) digest(name string, size int64) []byte {
	from, ok := f.sink.(reader)
	if !ok {
		return nil
	}
	file, err := from.Open(name)
	if err != nil {
		return nil // then it comes
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil || info.Size() != size {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return nil
	}
	return sum.Sum(nil)
}

// take stores one file: a small one beside others.
func (f *fetching) take(ctx context.Context, storing *errgroup.Group, n int, content io.Reader) error {
	i, name := f.items[n], f.home[n]
	if name == "" {
		return errNotWanted
	}
	if i.Size > fewBytes {
		if err := f.sink.Put(ctx, name, i.Mode.Perm(), -1, content); err != nil {
			return err
		}
		f.done[version(i)] = true
		return nil
	}
	var held bytes.Buffer
	held.Grow(int(i.Size) + 1)
	if _, err := io.Copy(&held, content); err != nil {
		return err
	}
	f.done[version(i)] = true // or storing fails, and all of it
	storing.Go(func() error { return f.sink.Put(ctx, name, i.Mode.Perm(), int64(held.Len()), &held) })
	return nil
}

// errNotWanted is a file that we did not ask for.
var errNotWanted = errors.New("a file came that was not asked for")
