package onhost

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// wish is a file that is wanted, unless its content is what is there already.
type wish struct {
	Index int `json:"index"`
	// Path is said when no list was.
	Path []byte `json:"path,omitempty"`
	Have []byte `json:"have,omitempty"`
	// At is where to begin, if what is before it has the digest Begun.
	At    int64  `json:"at,omitempty"`
	Begun []byte `json:"begun,omitempty"`
	// Quiet says that it must not change while it is read.
	Quiet bool `json:"quiet,omitempty"`
}

// mainFetch lists what is below its arguments and sends what is wanted of it.
func mainFetch(ctx context.Context, args []string, in *listener, out *speaker) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: nothing is asked for", errUsage)
	}
	if err := absolute(args...); err != nil {
		return err
	}
	items, err := list(ctx, args)
	if err != nil {
		return err
	}
	said := out.stream()
	if err := json.NewEncoder(said).Encode(items); err != nil {
		return err
	}
	if err := said.Close(); err != nil {
		return err
	}
	return sendWanted(ctx, in, out, func(w wish) (string, error) {
		if w.Index < 0 || w.Index >= len(items) {
			return "", fmt.Errorf("file %d of %d: %w", w.Index, len(items), errFrame)
		}
		return string(items[w.Index].Path), nil
	})
}

// mainSend sends files that another of us listed.
func mainSend(ctx context.Context, args []string, in *listener, out *speaker) error {
	if len(args) != 0 {
		return fmt.Errorf("%w: files are asked for on standard input", errUsage)
	}
	return sendWanted(ctx, in, out, func(w wish) (string, error) {
		return string(w.Path), absolute(string(w.Path))
	})
}

// sendWanted hears what is wanted and sends it.
func sendWanted(ctx context.Context, in *listener, out *speaker, nameOf func(wish) (string, error)) error {
	asked := in.stream()
	var wishes []wish
	if err := json.NewDecoder(asked).Decode(&wishes); err != nil {
		return err
	}
	if err := asked.rest(); err != nil {
		return err
	}
	ctx, cancel := untilCut(ctx, in)
	defer cancel(nil)
	pack, err := newPacker()
	if err != nil {
		return err
	}
	s := &sending{out: out, buf: make([]byte, headRoom+dataFrame), pack: pack}
	for _, w := range wishes {
		name, err := nameOf(w)
		if err != nil {
			return err
		}
		if err := s.file(ctx, name, w); err != nil {
			return err
		}
	}
	return out.frame(markDone, nil)
}

// sending sends files one after the other.
type sending struct {
	out  *speaker
	buf  []byte // headRoom, and what is read
	pack *packer
}

func (s *sending) file(ctx context.Context, name string, w wish) error {
	f, err := openFile(name)
	if w.Quiet && errors.Is(err, os.ErrNotExist) {
		return nil // it is gone
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	before, err := f.Stat()
	if err != nil {
		return err
	}
	from := untilDone{ctx, f}
	if len(w.Have) > 0 {
		same, err := s.matches(from, w.Have, -1)
		if same || err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	at := w.At
	if at > 0 {
		same, err := s.matches(from, w.Begun, at)
		if err != nil {
			return err
		}
		if !same {
			at = 0
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
	}
	said := binary.AppendUvarint(nil, uint64(w.Index))
	if err := s.out.frame(markFile, binary.AppendUvarint(said, uint64(at))); err != nil {
		return err
	}
	return s.rest(from, f, before, w.Quiet)
}

// matches reads size bytes, or all when size is negative, and says whether
// these have a digest.
func (s *sending) matches(from io.Reader, digest []byte, size int64) (bool, error) {
	if size >= 0 {
		from = io.LimitReader(from, size)
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, from, s.buf)
	if err != nil {
		return false, err
	}
	return (size < 0 || n == size) && string(sum.Sum(nil)) == string(digest), nil
}

// rest sends a file's content from where it is read, and its digest. One that
// has to be quiet and was changed meanwhile has none.
func (s *sending) rest(from io.Reader, f *os.File, before os.FileInfo, quiet bool) error {
	s.pack.another()
	sum := newCheck()
	for {
		n, err := io.ReadFull(from, s.buf[headRoom:])
		if n > 0 {
			raw := s.buf[headRoom : headRoom+n]
			_, _ = sum.Write(raw) // never fails
			if err := s.data(n, s.pack.pack(raw)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := s.out.frame(markEnd, nil); err != nil {
		return err
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if quiet && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		return s.out.frame(markTorn, nil)
	}
	return s.out.frame(markSum, checkSum(sum))
}

// data sends n bytes of buf, or what they were packed into.
func (s *sending) data(n int, packed []byte) error {
	if packed == nil {
		return s.out.framed(markData, s.buf, n)
	}
	return s.out.frame(markPacked, packed)
}

// openFile opens a regular file, also one that its owner closed.
func openFile(name string) (*os.File, error) {
	const flags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(name, flags, 0)
	if errors.Is(err, os.ErrPermission) {
		const read = 0o400
		info, statErr := os.Lstat(name)
		if statErr != nil || !info.Mode().IsRegular() {
			return nil, err
		}
		if chmodErr := os.Chmod(name, info.Mode().Perm()|read); chmodErr != nil {
			return nil, err
		}
		f, err = os.OpenFile(name, flags, 0)
	}
	return f, err
}

// untilDone is a reader that ends with ctx.
type untilDone struct {
	ctx context.Context //nolint:containedctx // an io.Reader cannot take one in Read
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
