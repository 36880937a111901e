package onhost

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A frame is its mark, the length of its payload and the payload. What has no
// known length (a stream) is any number of data frames and an end frame.
const (
	markData     = 'd'
	markEnd      = 'e'
	markHello    = 'h' // what the verb found first
	markProgress = 'p'
	markFile     = 'f' // a file's number in the list; its content follows
	markSum      = 's' // the digest of the content that came
	markTorn     = 't' // in its place: the content was changed while it was read
	markDone     = 'o'
	markFailed   = 'x'
	markAdd      = 'a'
	markRemove   = 'r'
	markChanged  = 'c'
	markAlive    = 'k'
	markPacked   = 'z' // as data, compressed
)

const (
	// maxFrame bounds what a frame makes the other side hold.
	maxFrame = 1 << 20
	// dataFrame is how much of a stream goes into one frame.
	dataFrame = 256 << 10
)

// ErrCut is a conversation that ended in the middle: whoever we spoke with is
// gone. Asking again can help.
var ErrCut = errors.New("our process on the host is gone")

// aLongTimeAgo is a deadline that has passed.
var aLongTimeAgo = time.Unix(1, 0)

// errFrame is what no verb of ours says.
var errFrame = errors.New("it makes no sense")

// speaker writes frames, each in one Write.
type speaker struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

func (s *speaker) frame(mark byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = binary.AppendUvarint(append(s.buf[:0], mark), uint64(len(payload)))
	s.buf = append(s.buf, payload...)
	_, err := s.w.Write(s.buf)
	return err
}

// headRoom is what a frame has before its payload, at most.
const headRoom = 1 + binary.MaxVarintLen32

// framed is frame of the first n bytes after the headRoom of buf, which are not
// copied once more.
func (s *speaker) framed(mark byte, buf []byte, n int) error {
	var head [headRoom]byte
	h := binary.AppendUvarint(append(head[:0], mark), uint64(n))
	at := headRoom - len(h)
	copy(buf[at:], h)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.w.Write(buf[at : headRoom+n])
	return err
}

// value says v as JSON.
func (s *speaker) value(mark byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.frame(mark, data)
}

// stream is a writer of data frames; close it.
func (s *speaker) stream() *streamWriter {
	return &streamWriter{s: s, buf: bufio.NewWriterSize(frameWriter{s}, dataFrame)}
}

type frameWriter struct{ s *speaker }

func (w frameWriter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += dataFrame {
		if err := w.s.frame(markData, p[at:min(at+dataFrame, len(p))]); err != nil {
			return at, err
		}
	}
	return len(p), nil
}

type streamWriter struct {
	s   *speaker
	buf *bufio.Writer
}

func (w *streamWriter) Write(p []byte) (int, error) { return w.buf.Write(p) }

// Close says that the stream is whole.
func (w *streamWriter) Close() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	return w.s.frame(markEnd, nil)
}

// listener reads frames.
type listener struct {
	r   *bufio.Reader
	buf []byte
	// unpacker is made when the first compressed frame comes.
	unpacker *zstd.Decoder
}

func newListener(r io.Reader) *listener { return &listener{r: bufio.NewReaderSize(r, 64<<10)} }

// frame gives the next one; its payload is good until the one after.
func (l *listener) frame() (mark byte, payload []byte, err error) {
	mark, n, err := l.head()
	if err != nil {
		return 0, nil, err
	}
	payload, err = l.body(n)
	return mark, payload, err
}

// head reads what is before a frame's payload, which has n bytes.
func (l *listener) head() (mark byte, n int, err error) {
	if mark, err = l.r.ReadByte(); err != nil {
		return 0, 0, cut(err)
	}
	size, err := binary.ReadUvarint(l.r)
	if err != nil {
		return 0, 0, cut(err)
	}
	if size > maxFrame {
		return 0, 0, fmt.Errorf("a frame of %d bytes: %w", size, errFrame)
	}
	return mark, int(size), nil
}

// body reads the payload after a head.
func (l *listener) body(n int) ([]byte, error) {
	if cap(l.buf) < n {
		l.buf = make([]byte, n)
	}
	l.buf = l.buf[:n]
	if _, err := io.ReadFull(l.r, l.buf); err != nil {
		return nil, cut(err)
	}
	return l.buf, nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return ErrCut
	}
	return err
}

// expect reads a frame of one kind. What the other side failed with is an error.
func (l *listener) expect(want byte) ([]byte, error) {
	mark, payload, err := l.frame()
	switch {
	case err != nil:
		return nil, err
	case mark == want:
		return payload, nil
	case mark == markFailed:
		return nil, decodeFailure(payload)
	default:
		return nil, fmt.Errorf("a frame %q where %q belongs: %w", mark, want, errFrame)
	}
}

// value reads a frame that holds JSON.
func (l *listener) value(want byte, into any) error {
	payload, err := l.expect(want)
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, into)
}

// stream reads data frames until the end frame.
func (l *listener) stream() *streamReader { return &streamReader{l: l} }

type streamReader struct {
	l     *listener
	ahead []byte
	err   error
	// unpacked is a frame that was compressed.
	unpacked []byte
}

func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.ahead) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		mark, n, err := r.l.head()
		if err == nil && mark == markData && n <= len(p) && n > 0 {
			if _, r.err = io.ReadFull(r.l.r, p[:n]); r.err != nil {
				r.err = cut(r.err)
				return 0, r.err
			}
			return n, nil
		}
		var payload []byte
		if err == nil {
			payload, err = r.l.body(n)
		}
		switch {
		case err != nil:
			r.err = err
		case mark == markEnd:
			r.err = io.EOF
		case mark == markFailed:
			r.err = decodeFailure(payload)
		case mark == markPacked:
			r.unpacked, r.err = r.l.unpack(payload, r.unpacked)
			r.ahead = r.unpacked
		case mark != markData:
			r.err = fmt.Errorf("a frame %q in a stream: %w", mark, errFrame)
		default:
			r.ahead = payload
		}
	}
	n := copy(p, r.ahead)
	r.ahead = r.ahead[n:]
	return n, nil
}

// rest reads to the end of the stream.
func (r *streamReader) rest() error {
	_, err := io.Copy(io.Discard, r)
	return err
}
