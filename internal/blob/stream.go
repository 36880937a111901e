package blob

import (
	"context"
	"io"

	"github.com/runnerml/runner/internal/partfile"
)

// Open reads a blob from offset to its end, as a stream: a cut line is mended by
// asking for the rest of the same blob. It takes a connection only while it reads.
func (c *Container) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	b, err := c.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return &stream{ctx: ctx, container: c, blob: b, at: min(offset, b.Size)}, nil
}

// stream reads ranges one after the other.
type stream struct {
	ctx       context.Context
	container *Container
	blob      Blob
	at        int64
	rest      []byte
}

// streamRange is how much a stream asks for at once.
const streamRange = 1 << 20

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.at >= s.blob.Size {
			return 0, io.EOF
		}
		n := min(streamRange, s.blob.Size-s.at)
		buf := &window{data: make([]byte, n), off: s.at}
		if _, err := s.container.getRange(s.ctx, &getting{blob: s.blob, span: partfile.Span{Off: s.at, N: n}, byRange: true, to: buf}, ""); err != nil {
			return 0, err
		}
		s.at += n
		s.rest = buf.data
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) Close() error {
	s.rest, s.at = nil, s.blob.Size
	return nil
}

// window is a part of a blob in memory.
type window struct {
	data []byte
	off  int64
}

func (w *window) WriteAt(p []byte, off int64) (int, error) {
	return copy(w.data[off-w.off:], p), nil
}
