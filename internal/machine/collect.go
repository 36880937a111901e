package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/supervise"
)

// remarksFile names what a script left and we do not keep, and why. See outside
// for the lines that LeftOutside reads.
const remarksFile = "logs/not_collected.txt"

// ours are the files that we add to the script's logs.
func (p place) ours() []ourFile {
	return []ourFile{
		{name: "std_log.txt", source: path.Join(p.sup(), supervise.LogFile)},
		{name: "std_log.idx", source: path.Join(p.sup(), "std_log.idx")},
		{name: "environment_log.txt", source: p.environment()},
	}
}

type ourFile struct{ name, source string }

// aside is the name that a script's file gets that has ours: "std_log.txt"
// becomes "std_log.script.txt".
func (f ourFile) aside() string {
	ext := path.Ext(f.name)
	return strings.TrimSuffix(f.name, ext) + ".script" + ext
}

// asideAgain is the ith name to try.
func (f ourFile) asideAgain(i int) string { return fmt.Sprintf("%d.%s", i, f.aside()) }

// Collect brings outputs/ and logs/ home. On this computer they are moved, in
// an order that lets it be cut between any two steps and repeated; the log
// itself stays with the attempt, too, until its release.
func (m *Machine) Collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	defer m.attempts.lock(ref)()
	err := m.collect(ctx, ref, sink)
	if err != nil {
		return fmt.Errorf("collect %s: %w", mark(ref), m.failure(err))
	}
	return nil
}

func (m *Machine) collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	at := m.layout.attempt(ref)
	r, err := m.readRecord(ctx, at)
	if err != nil || r == nil {
		return err // released already, or never here
	}
	status, err := m.status(ctx, at)
	if err != nil {
		return err
	}
	if status.Phase == supervise.Running && r.Form != inJob {
		return backends.ErrStillRuns
	}
	left, err := m.leftOutside(ctx, at, r.Snapshot)
	if err != nil {
		return err
	}
	if adopter, ok := sink.(artifact.Adopter); ok && m.local {
		return moveHome(ctx, at, sink, adopter, left)
	}
	if m.remote != nil {
		return m.fetchHome(ctx, at, sink, left)
	}
	return m.copyHome(ctx, at, sink, left)
}

// copyHome sends everything through the sink, file by file.
func (m *Machine) copyHome(ctx context.Context, at place, sink artifact.Sink, left string) error {
	putting, within := errgroup.WithContext(ctx)
	putting.SetLimit(copiedAtOnce)
	c := copying{m: m, sink: sink, at: at, putting: putting}
	err := c.all(within)
	if err := putting.Wait(); err != nil { // which cut the rest off
		return err
	}
	if err != nil {
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

// all begins to store everything.
func (c *copying) all(ctx context.Context) error {
	for _, top := range []string{"outputs", "logs"} {
		info, err := c.m.host.Lstat(ctx, path.Join(c.at.work(), top))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			c.remark(top, info.Mode(), "")
			continue
		}
		if err := c.directory(ctx, top); err != nil {
			return err
		}
	}
	for _, f := range c.at.ours() {
		err := c.file(ctx, f.source, "logs/"+f.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copying is one copyHome at work.
type copying struct {
	m       *Machine
	sink    artifact.Sink
	at      place
	putting *errgroup.Group
	remarks []string
}

func (c *copying) directory(ctx context.Context, name string) error {
	entries, err := c.m.host.ReadDir(ctx, path.Join(c.at.work(), name))
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return c.sink.Mkdir(ctx, name)
	}
	for _, e := range entries {
		child := name + "/" + e.Name()
		from := path.Join(c.at.work(), child)
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
		if err != nil {
			return err
		}
	}
	return nil
}

// scriptsFile brings a script's file home, beside ours when it has our name.
func (c *copying) scriptsFile(ctx context.Context, from, name string) error {
	home, err := c.home(ctx, name)
	if err != nil {
		return err
	}
	return c.file(ctx, from, home)
}

// home is the name at home of something of the script's.
func (c *copying) home(ctx context.Context, name string) (string, error) {
	for _, f := range c.at.ours() {
		if name != "logs/"+f.name {
			continue
		}
		free := f.aside()
		for i := 2; ; i++ {
			taken, err := c.m.exists(ctx, path.Join(c.at.work(), "logs", free))
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

// file stores one file beside others, unless it is at home as it is.
func (c *copying) file(ctx context.Context, from, name string) error {
	info, err := c.m.host.Lstat(ctx, from)
	if err != nil {
		return err
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
	c.putting.Go(func() error {
		f, err := c.m.host.Open(ctx, from)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		return c.sink.Put(ctx, file, f)
	})
	return nil
}

func (c *copying) remark(name string, mode fs.FileMode, target string) {
	c.remarks = append(c.remarks, remark(name, mode, target))
}

// remark says in a line why something is not kept.
func remark(name string, mode fs.FileMode, target string) string {
	switch {
	case mode&fs.ModeSymlink != 0 && target != "":
		return fmt.Sprintf("%q is a link that leads out, to %q\n", name, target)
	case name == "outputs" || name == "logs":
		return fmt.Sprintf("%q is a %s, not a directory\n", name, artifact.Kind(mode))
	default:
		return fmt.Sprintf("%q is a %s\n", name, artifact.Kind(mode))
	}
}
