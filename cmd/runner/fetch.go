package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// fetching brings a run's outputs into a directory. A file appears there whole
// and with the right digest, or not at all; what came of it before a cut is
// kept out of sight. Nothing is written outside of the directory, whatever
// names the server gives.
type fetching struct {
	*cli
	client  *client.Client
	run     string
	ended   bool // the run
	attempt int
	lines   *liveLines

	into *artifact.Directory
	dir  string
	// count of files and bytes, for whoever watches.
	files, total, whole, had, moving, done atomic.Int64
}

const (
	// fetchedAtOnce is how many files are on their way at the same time.
	fetchedAtOnce = 8
	// fetchTries is how often a file is begun that changes while it is fetched.
	fetchTries = 4
)

func (f *fetching) all(ctx context.Context, files []controller.OutputFile, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // the umask decides, as with mkdir: it is the user's own directory
		return server.WrongPath(err)
	}
	f.into, f.dir = artifact.OpenShared(dir), dir
	defer f.lines.clear()
	for _, file := range files {
		f.total.Add(file.Size)
	}
	f.files.Store(int64(len(files)))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(fetchedAtOnce)
	for _, file := range files {
		group.Go(func() error {
			err := f.one(within, file)
			if err != nil && !f.ended && isOther(err) {
				f.leaveOut(file)
				return nil
			}
			return f.explain(err, file)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := f.into.Settle(ctx); err != nil {
		return err
	}
	f.lines.clear()
	there := ""
	if n := f.had.Load(); n > 0 {
		there = fmt.Sprintf(", %d of them since before", n)
	}
	f.sayf("%s of %s in %s%s", plural(len(files)-int(f.moving.Load()), "file"), f.run, dir, there)
	return nil
}

// isOther is a file that is again and again not what was listed, or not there.
func isOther(err error) bool {
	p, ok := errors.AsType[*server.Problem](err)
	return errors.Is(err, artifact.ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF) || ok && p.Code == server.NotFound
}

// leaveOut says that a file of a run that goes on is not fetched now.
func (f *fetching) leaveOut(file controller.OutputFile) {
	f.moving.Add(1)
	f.total.Add(-file.Size)
	f.sayf("left out %s: it changes while it is fetched", tidyLine(file.Path))
}

// explain says what an error means to whoever fetches.
func (f *fetching) explain(err error, file controller.OutputFile) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	at := filepath.Join(f.dir, filepath.FromSlash(file.Path))
	p := &server.Problem{Code: server.Invalid, Where: at}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		p.Message, p.Hint = "there is no space left on this disk", "free some, or name another directory; what is whole already is not fetched again"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		p.Message, p.Hint = "it may not be written here", "name a directory that you may write to"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), isKind(err):
		p.Message, p.Hint = "something else of that name is in the way", "name another directory"
	case errors.Is(err, artifact.ErrCorrupt), errors.Is(err, io.ErrUnexpectedEOF):
		p.Code = server.Conflict
		p.Message, p.Hint = f.notAsListed()
	default:
		return fmt.Errorf("fetch %s: %w", file.Path, err)
	}
	return p
}

// notAsListed says of a file, and what helps, that what comes is again and again
// not what was listed.
func (f *fetching) notAsListed() (what, hint string) {
	if f.ended {
		return "what comes of it is not what its digest says", "it was changed, or damaged, where it is kept after the run ended"
	}
	return "it changes while it is fetched", "wait until the run has ended: runner wait " + f.run
}

func isKind(err error) bool {
	_, ok := errors.AsType[*artifact.KindError](err)
	return ok
}

func (f *fetching) one(ctx context.Context, file controller.OutputFile) (err error) {
	if !filepath.IsLocal(filepath.FromSlash(file.Path)) {
		return server.Wrong("the name leads out of the directory", file.Path, "")
	}
	there, err := f.into.Stat(ctx, file.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() { f.whole.Add(1); f.show() }()
	switch {
	case file.Dir:
		return f.into.Mkdir(ctx, file.Path)
	case err == nil && there.Dir: // it would be replaced, with all that is in it
		return syscall.EISDIR
	case file.Link != "":
		return f.link(ctx, file, there)
	case err == nil && f.same(ctx, file, there):
		f.had.Add(1)
		f.done.Add(file.Size)
		return nil
	}
	return f.content(ctx, file)
}

// link makes a symbolic link that stays inside.
func (f *fetching) link(ctx context.Context, file controller.OutputFile, there artifact.File) error {
	if there.Link == file.Link {
		f.had.Add(1)
		return nil
	}
	err := f.into.Link(ctx, file.Path, file.Link)
	if _, out := errors.AsType[*artifact.LinkError](err); out {
		f.sayf("left out %s: it leads to %s", file.Path, tidyLine(file.Link))
		return nil
	}
	return err
}

// same says whether a file is there already.
func (f *fetching) same(ctx context.Context, file controller.OutputFile, there artifact.File) bool {
	if !there.Mode.IsRegular() || there.Size != file.Size || file.Digest == "" {
		return false
	}
	r, err := f.into.Open(ctx, file.Path)
	if err != nil {
		return false
	}
	defer r.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, r)
	return err == nil && bytes.Equal(sum.Sum(nil), digestOf(file))
}

// digestOf is the SHA-256 that a file must have; nil: it is not known.
func digestOf(file controller.OutputFile) []byte {
	sum, err := hex.DecodeString(strings.TrimPrefix(file.Digest, "sha256:"))
	if err != nil || len(sum) != sha256.Size {
		return nil
	}
	return sum
}

// content fetches a file, the rest of it when it was begun before. One that
// changes meanwhile, as those of a run that goes on may, is begun anew.
func (f *fetching) content(ctx context.Context, file controller.OutputFile) error {
	for try := 1; ; try++ {
		err := f.try(ctx, file)
		if try == fetchTries || !errors.Is(err, artifact.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		files, listErr := f.client.Outputs(ctx, f.run, f.attempt)
		if listErr != nil {
			return listErr
		}
		for _, now := range files {
			if now.Path == file.Path {
				f.total.Add(now.Size - file.Size)
				file = now
			}
		}
	}
}

func (f *fetching) try(ctx context.Context, file controller.OutputFile) error {
	at, _, err := f.into.Begun(ctx, file.Path)
	if err != nil {
		return err
	}
	if at > file.Size {
		at = 0
	}
	body, err := f.client.OpenOutput(ctx, f.run, f.attempt, file.Path, at)
	if err != nil {
		return err
	}
	defer body.Close()
	// One that grows is what it was when it was listed.
	m := &meteredReader{io.LimitReader(body, file.Size-at), f, at}
	f.done.Add(at)
	want := artifact.File{Path: file.Path, Size: file.Size, Mode: fs.FileMode(file.Mode).Perm() | 0o200, Digest: digestOf(file)}
	if at > 0 {
		err = f.into.PutRest(ctx, want, at, m)
	} else {
		err = f.into.Put(ctx, want, m)
	}
	if err != nil {
		f.done.Add(-m.counted)
	}
	return err
}

// show tells how far it is.
func (f *fetching) show() {
	f.lines.show("outputs", fmt.Sprintf("%d of %s", f.whole.Load(), plural(int(f.files.Load()), "file")), f.done.Load(), f.total.Load(), "B")
}

// meteredReader shows how much came.
type meteredReader struct {
	io.Reader
	f       *fetching
	counted int64
}

func (m *meteredReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.counted += int64(n)
	m.f.done.Add(int64(n))
	m.f.show()
	return n, err
}

// toStdout writes one file to standard output, byte for byte.
func (f *fetching) toStdout(ctx context.Context, files []controller.OutputFile) error {
	switch {
	case len(files) == 0:
		return server.Wrong(f.run+" left nothing", "--to -", "")
	case len(files) > 1:
		return server.Wrong(fmt.Sprintf("--to - takes one file, not %d", len(files)), f.run, "name it, for example: runner outputs "+f.run+" "+strings.TrimPrefix(files[0].Path, outputsTop)+" --to -")
	case files[0].Dir:
		return server.Wrong("it is a directory", files[0].Path, "--to DIR takes it")
	}
	file := files[0]
	f.files.Store(1)
	f.total.Store(file.Size)
	body, err := f.client.OpenOutput(ctx, f.run, f.attempt, file.Path, 0)
	if err != nil {
		return err
	}
	defer body.Close()
	defer f.lines.clear()
	sum := sha256.New()
	from := io.Reader(body)
	if file.Link == "" { // one that grows is what it was when it was listed
		from = io.LimitReader(body, file.Size)
	}
	n, err := io.Copy(io.MultiWriter(f.out, sum), &meteredReader{from, f, 0})
	if err != nil {
		return err
	}
	if want := digestOf(file); file.Link == "" && (n != file.Size || want != nil && !bytes.Equal(want, sum.Sum(nil))) {
		what, hint := f.notAsListed()
		return &server.Problem{Code: server.Conflict, Message: what, Where: file.Path, Hint: "do not use what was written; " + hint}
	}
	return nil
}
