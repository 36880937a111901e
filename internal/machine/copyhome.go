package machine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
)

// copyHome sends everything through the sink.
func (m *Machine) copyHome(ctx context.Context, at place, sink artifact.Sink, left string) error {
	c := &copying{m: m, sink: sink, at: at, root: at.work()}
	if err := c.carry(ctx, c.all); err != nil {
		return err
	}
	if err := forgotten(ctx, sink, c.seen); err != nil {
		return err
	}
	if text := strings.Join(c.remarks, "") + left; text != "" {
		if err := putText(ctx, sink, remarksFile, text); err != nil {
			return err
		}
	}
	return sink.Settle(ctx)
}

// copiedAtOnce is how many files go through a sink at the same time.
const copiedAtOnce = 16

// copying stores files through a sink, several at once.
type copying struct {
	m    *Machine
	sink artifact.Sink
	at   place
	// root is where the names of the script's things begin.
	root string
	// live says that the script runs: what it is writing does not go now.
	live    bool
	putting *errgroup.Group
	// seen are the names that were found.
	seen    map[string]bool
	remarks []string
}

// carry lets walk begin to store things, and waits for their end.
func (c *copying) carry(ctx context.Context, walk func(context.Context) error) error {
	var within context.Context
	c.putting, within = errgroup.WithContext(ctx)
	c.putting.SetLimit(copiedAtOnce)
	c.seen = map[string]bool{}
	err := walk(within)
	if err := c.putting.Wait(); err != nil { // which cut the rest off
		return err
	}
	return err
}

// all begins to store everything of an attempt.
func (c *copying) all(ctx context.Context) error {
	for _, top := range []string{"outputs", "logs"} {
		if err := c.top(ctx, top); err != nil {
			return err
		}
	}
	for _, f := range c.at.ours() {
		err := c.file(ctx, f.source, "logs/"+f.name, true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// top begins to store a directory below the root, if it is one.
func (c *copying) top(ctx context.Context, name string) error {
	info, err := c.m.host.Lstat(ctx, path.Join(c.root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		c.remark(name, info.Mode(), "")
		return nil
	}
	c.seen[name] = true
	return c.directory(ctx, name)
}

func (c *copying) directory(ctx context.Context, name string) error {
	entries, err := c.m.host.ReadDir(ctx, path.Join(c.root, name))
	if err != nil {
		return c.unlessGone(err)
	}
	if len(entries) == 0 {
		return c.sink.Mkdir(ctx, name)
	}
	for _, e := range entries {
		child := name + "/" + e.Name()
		from := path.Join(c.root, child)
		c.seen[child] = true
		switch mode := e.Type(); {
		case mode.IsDir():
			err = c.directory(ctx, child)
		case mode.IsRegular():
			err = c.scriptsFile(ctx, from, child)
		case mode&fs.ModeSymlink != 0:
			err = c.link(ctx, from, child)
		default:
			c.remark(child, mode, "")
		}
		if err = c.unlessGone(err); err != nil {
			return err
		}
	}
	return nil
}

// unlessGone is no error of what a running script removed meanwhile.
func (c *copying) unlessGone(err error) error {
	if c.live && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// scriptsFile brings a script's file home, beside ours when it has our name.
func (c *copying) scriptsFile(ctx context.Context, from, name string) error {
	home, err := c.home(ctx, name)
	if err != nil {
		return err
	}
	return c.file(ctx, from, home, false)
}

// home is the name at home of something of the script's.
func (c *copying) home(ctx context.Context, name string) (string, error) {
	for _, f := range c.at.ours() {
		if name != "logs/"+f.name {
			continue
		}
		free := f.aside()
		for i := 2; ; i++ {
			taken, err := c.m.exists(ctx, path.Join(c.root, "logs", free))
			if err != nil || !taken {
				return "logs/" + free, err
			}
			free = f.asideAgain(i)
		}
	}
	return name, nil
}

func (c *copying) link(ctx context.Context, from, name string) error {
	target, err := c.m.host.Readlink(ctx, from)
	if err != nil {
		return err
	}
	if artifact.LeadsOut(name, target) {
		c.remark(name, fs.ModeSymlink, target)
		return nil
	}
	home, err := c.home(ctx, name)
	if err != nil {
		return err
	}
	return c.sink.Link(ctx, home, target)
}

// file stores one file beside others, unless it is at home as it is. mine: it is
// not the script's.
func (c *copying) file(ctx context.Context, from, name string, mine bool) error {
	info, err := c.m.host.Lstat(ctx, from)
	if err != nil {
		return err
	}
	quiet := c.live && !mine
	if quiet && time.Since(info.ModTime()) < freshFor || c.live && mine && info.Size() > liveLog {
		return nil
	}
	file := artifact.File{Path: name, Size: info.Size(), Mode: info.Mode().Perm(), Modified: info.ModTime()}
	if home, ok := c.sink.(artifact.Folder); ok {
		there, err := home.Stat(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && there.Mode.IsRegular() && there.Size == file.Size && there.Modified.Equal(file.Modified) {
			return nil
		}
	}
	if c.live {
		file.Size = -1 // it may grow
	}
	taker, takes := c.sink.(artifact.Taker)
	if takes && c.m.local && (quiet || !c.live) {
		c.putting.Go(func() error {
			err := taker.Take(ctx, file, from)
			if c.live && errors.Is(err, artifact.ErrChanged) {
				return nil
			}
			return c.unlessGone(err)
		})
		return nil
	}
	c.putting.Go(func() error {
		f, err := c.m.host.Open(ctx, from)
		if err != nil {
			return c.unlessGone(err)
		}
		defer func() { _ = f.Close() }() // only read
		if !quiet {
			return c.sink.Put(ctx, file, f)
		}
		err = c.sink.Put(ctx, file, &quietReader{f, info})
		if errors.Is(err, onhost.ErrTorn) {
			return nil
		}
		return err
	})
	return nil
}

// freshFor is how long after its last change a file counts as being written.
const freshFor = 2 * time.Second

// quietReader ends with onhost.ErrTorn when the file is not what it was before.
type quietReader struct {
	host.File
	before fs.FileInfo
}

func (q *quietReader) Read(p []byte) (int, error) {
	n, err := q.File.Read(p)
	if errors.Is(err, io.EOF) {
		after, statErr := q.Stat()
		switch {
		case statErr != nil:
			err = statErr
		case after.Size() != q.before.Size() || !after.ModTime().Equal(q.before.ModTime()):
			err = onhost.ErrTorn
		}
	}
	return n, err
}

func (c *copying) remark(name string, mode fs.FileMode, target string) {
	c.remarks = append(c.remarks, remark(name, mode, target))
}
