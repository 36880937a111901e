package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

// NoOutputError is a path that an attempt did not leave.
type NoOutputError struct{ Run, Path string }

func (e *NoOutputError) Error() string {
	return fmt.Sprintf("%s left no %s", e.Run, e.Path)
}

// Outputs lists what an attempt left in outputs/ and logs/. attempt zero: the
// last one.
func (c *Controller) Outputs(ctx context.Context, id string, attempt int) ([]OutputFile, error) {
	_, d, err := c.left(ctx, id, attempt)
	if err != nil || d == nil {
		return nil, err
	}
	files, err := d.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list outputs: %w", err)
	}
	out := make([]OutputFile, 0, len(files))
	for _, f := range files {
		out = append(out, OutputFile{Path: f.Path, Size: f.Size, Mode: uint32(f.Mode.Perm()), Link: f.Link, Dir: f.Dir})
	}
	return out, nil
}

// OpenOutput opens one file that an attempt left. Errors: *NoOutputError.
func (c *Controller) OpenOutput(ctx context.Context, id string, attempt int, path string) (*Readable, error) {
	r, d, err := c.left(ctx, id, attempt)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, &NoOutputError{Run: r.ID, Path: path}
	}
	f, err := d.Open(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoOutputError{Run: r.ID, Path: path}
	}
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	file := f.File()
	return &Readable{
		OutputFile: OutputFile{Path: path, Size: file.Size, Mode: uint32(file.Mode.Perm())}, ReadCloser: f,
	}, nil
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
