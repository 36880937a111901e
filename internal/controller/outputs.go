package controller

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

// NoOutputError is a path that an attempt did not leave.
type NoOutputError struct{ Run, Path string }

func (e *NoOutputError) Error() string {
	return fmt.Sprintf("%s left no %s", e.Run, e.Path)
}

// digestedAtOnce is how many files are read at the same time for their digests.
const digestedAtOnce = 4

// Outputs lists what an attempt left in outputs/ and logs/, with the digests of
// the files: those that are not known yet are made now, and remembered. Of one
// that runs on this computer it is what is there at this moment. attempt zero:
// the last one.
func (c *Controller) Outputs(ctx context.Context, id string, attempt int) ([]OutputFile, error) {
	r, d, err := c.left(ctx, id, attempt)
	if err != nil || d == nil {
		return nil, err
	}
	view := c.view(r, attempt)
	if view == nil {
		return listed(ctx, settled{d})
	}
	now, err := listed(ctx, growing{view})
	if err != nil {
		return nil, err
	}
	after, err := c.store.Run(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	kept, err := listed(ctx, settled{d})
	if err != nil || c.view(after, attempt) == nil { // it ended meanwhile, and its files were on their way home
		return kept, err
	}
	return together(now, kept), nil
}

// together are the files of a running attempt, and those logs of ours that were
// saved of it already.
func together(now, kept []OutputFile) []OutputFile {
	there := map[string]bool{}
	for _, f := range now {
		there[f.Path] = true
	}
	for _, f := range kept {
		if strings.HasPrefix(f.Path, "logs/") && !there[f.Path] {
			now = append(now, f)
		}
	}
	slices.SortFunc(now, func(a, b OutputFile) int { return strings.Compare(a.Path, b.Path) })
	return now
}

// view is what an attempt has that runs on this computer; else nil.
func (c *Controller) view(r *run.Run, attempt int) backends.View {
	if r.State != run.Running || attempt != 0 && attempt != r.Last().Number {
		return nil
	}
	t, err := c.target(r.Target)
	if err != nil {
		return nil
	}
	v, ok := t.backend.(backends.Viewer)
	if !ok {
		return nil
	}
	return v.View(ref(r))
}

// digests is a folder that knows those of its files as they were listed.
type digests interface {
	List(ctx context.Context) ([]artifact.File, error)
	digest(ctx context.Context, f artifact.File) ([]byte, error)
}

// settled is a folder whose files do not change.
type settled struct{ artifact.Folder }

func (s settled) digest(ctx context.Context, f artifact.File) ([]byte, error) {
	return s.Digest(ctx, f.Path)
}

// growing is a folder that a run writes to: a file may be longer by now.
type growing struct{ backends.View }

func (g growing) digest(ctx context.Context, f artifact.File) ([]byte, error) {
	return g.DigestFirst(ctx, f.Path, f.Size)
}

// listed lists a folder, with digests.
func listed(ctx context.Context, d digests) ([]OutputFile, error) {
	files, err := d.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list outputs: %w", err)
	}
	out := make([]OutputFile, len(files))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(digestedAtOnce)
	for i, f := range files {
		out[i] = outputFile(f)
		if f.Dir || f.Link != "" || f.Digest != nil {
			continue
		}
		group.Go(func() error {
			sum, err := d.digest(within, f)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, artifact.ErrChanged) {
				return nil // a run that goes on replaced it
			}
			out[i].Digest = digestText(sum)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("digests of outputs: %w", err)
	}
	return out, nil
}

func outputFile(f artifact.File) OutputFile {
	return OutputFile{
		Path: f.Path, Size: f.Size, Mode: uint32(f.Mode.Perm()), Digest: digestText(f.Digest), Link: f.Link, Dir: f.Dir,
	}
}

func digestText(sum []byte) string {
	if len(sum) == 0 {
		return ""
	}
	return "sha256:" + hex.EncodeToString(sum)
}

// OpenOutput opens one file that an attempt left. Its digest is told where it is
// known without reading. Errors: *NoOutputError.
func (c *Controller) OpenOutput(ctx context.Context, id string, attempt int, path string) (*Readable, error) {
	r, d, err := c.left(ctx, id, attempt)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, &NoOutputError{Run: r.ID, Path: path}
	}
	var f artifact.Readable
	err = fs.ErrNotExist
	if view := c.view(r, attempt); view != nil {
		f, err = view.Open(ctx, path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.Open(ctx, path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NoOutputError{Run: r.ID, Path: path}
	case isNoFile(err):
		return nil, &InvalidError{What: err.Error()}
	case err != nil:
		return nil, fmt.Errorf("open output: %w", err)
	}
	return &Readable{OutputFile: outputFile(f.File()), Modified: f.File().Modified, ReadSeekCloser: f}, nil
}

// isNoFile tells a name that can be no file's from what goes wrong with a file.
func isNoFile(err error) bool {
	_, kind := errors.AsType[*artifact.KindError](err)
	_, name := errors.AsType[*artifact.NameError](err)
	return kind || name
}

// left is where an attempt's files are; nil when the run has none yet.
func (c *Controller) left(ctx context.Context, id string, attempt int) (*run.Run, artifact.Folder, error) {
	r, err := c.Run(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	newest := len(r.Attempts)
	if attempt > newest || attempt < 0 {
		return nil, nil, &NoAttemptError{Run: r.ID, Attempt: attempt, Newest: newest}
	}
	if newest == 0 {
		return r, nil, nil
	}
	if attempt == 0 {
		attempt = newest
	}
	d, err := c.attemptFolder(r.Config, r.ID, attempt)
	return r, d, err
}
