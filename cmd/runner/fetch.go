package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// fetching brings a run's outputs into a directory. A file appears there whole
// or not at all, and nothing is written outside of it, whatever names the
// server gives.
type fetching struct {
	*cli
	client  *client.Client
	run     string
	attempt int
	lines   *liveLines
	done    int64
	total   int64
}

func (f *fetching) all(ctx context.Context, files []controller.OutputFile, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as mkdir does; outputs are the user's own
		return server.WrongPath(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return server.WrongPath(err)
	}
	defer root.Close()
	defer f.lines.clear()
	for _, file := range files {
		f.total += file.Size
	}
	for _, file := range files {
		if err := f.one(ctx, root, file); err != nil {
			return fmt.Errorf("fetch %s: %w", file.Path, err)
		}
	}
	f.lines.clear()
	f.sayf("%s of %s in %s", plural(len(files), "file"), f.run, dir)
	return nil
}

func (f *fetching) one(ctx context.Context, root *os.Root, file controller.OutputFile) error {
	name := filepath.FromSlash(file.Path)
	if !filepath.IsLocal(name) {
		return server.Wrong("the name leads out of the directory", file.Path, "")
	}
	if file.Dir {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if file.Link != "" {
		return f.link(root, name, file)
	}
	body, err := f.client.OpenOutput(ctx, f.run, f.attempt, file.Path)
	if err != nil {
		return err
	}
	defer body.Close()
	return f.write(root, name, file, body)
}

// link makes a symbolic link that stays inside.
func (f *fetching) link(root *os.Root, name string, file controller.OutputFile) error {
	if path.IsAbs(file.Link) || !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(file.Path), file.Link))) {
		f.sayf("left out %s: it leads to %s", file.Path, tidyLine(file.Link))
		return nil
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.Symlink(filepath.FromSlash(file.Link), name)
}

func (f *fetching) write(root *os.Root, name string, file controller.OutputFile, body io.Reader) (err error) {
	part := name + ".part"
	out, err := root.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(part))
		}
	}()
	const buffer = 256 << 10
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, &meteredReader{body, f}, make([]byte, buffer))
	if err == nil {
		err = out.Chmod(fs.FileMode(file.Mode).Perm() | 0o200)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return root.Rename(part, name)
}

// meteredReader shows how much came.
type meteredReader struct {
	io.Reader
	f *fetching
}

func (m *meteredReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.f.done += int64(n)
	m.f.lines.show("outputs", "fetching", m.f.done, m.f.total, "B")
	return n, err
}
