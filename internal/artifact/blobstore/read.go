package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/blob"
)

// mostLinks are followed to a file.
const mostLinks = 40

// errLinks is a link that leads round and round.
var errLinks = errors.New("too many symbolic links")

// errNegative is a place before a file's beginning.
var errNegative = errors.New("before the beginning")

// Open opens one file for reading.
func (f *folder) Open(ctx context.Context, name string) (artifact.Readable, error) {
	r, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f *folder) open(ctx context.Context, name string) (*reader, error) {
	c, err := f.store.blobs(ctx)
	if err != nil {
		return nil, err
	}
	at := name
	for range mostLinks {
		if err := f.check(at); err != nil {
			return nil, err
		}
		b, err := c.Stat(ctx, f.full(at))
		if err != nil {
			return nil, fmt.Errorf("open artifact %q: %w", name, f.store.failure(err))
		}
		file := fileOf(name, b)
		if file.Link == "" {
			return &reader{ctx: ctx, folder: f, container: c, blob: b, file: file}, nil
		}
		at = path.Join(path.Dir(at), file.Link)
	}
	return nil, fmt.Errorf("open artifact %q: %w", name, errLinks)
}

// reader is an open blob. It asks for what is read.
type reader struct {
	ctx       context.Context //nolint:containedctx // an io.Reader cannot take one in Read
	folder    *folder
	container *blob.Container
	blob      blob.Blob
	file      artifact.File

	at     int64
	stream io.ReadCloser // from at on; nil: not asked for yet
}

func (r *reader) File() artifact.File { return r.file }

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.blob.Size {
		return 0, io.EOF
	}
	if r.stream == nil {
		s, err := r.container.Open(r.ctx, r.blob.Name, r.at)
		if err != nil {
			return 0, r.folder.store.failure(err)
		}
		r.stream = s
	}
	n, err := r.stream.Read(p)
	r.at += int64(n)
	if errors.Is(err, io.EOF) && r.at < r.blob.Size {
		err = io.ErrUnexpectedEOF
	}
	return n, r.folder.store.failure(err)
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	if off >= r.blob.Size {
		return 0, io.EOF
	}
	s, err := r.container.Open(r.ctx, r.blob.Name, off)
	if err != nil {
		return 0, r.folder.store.failure(err)
	}
	defer func() { _ = s.Close() }() // only read
	n, err := io.ReadFull(s, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, r.folder.store.failure(err)
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.blob.Size
	}
	if offset < 0 {
		return 0, errNegative
	}
	if offset != r.at {
		if err := r.Close(); err != nil {
			return 0, err
		}
		r.at = offset
	}
	return offset, nil
}

// Close ends the reading.
func (r *reader) Close() error {
	if r.stream == nil {
		return nil
	}
	s := r.stream
	r.stream = nil
	return s.Close()
}
