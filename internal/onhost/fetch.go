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
	Index int    `json:"index"`
	Have  []byte `json:"have,omitempty"`
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
	s := &sending{out: out, buf: make([]byte, dataFrame)}
	for _, w := range wishes {
		if w.Index < 0 || w.Index >= len(items) {
			return fmt.Errorf("file %d of %d: %w", w.Index, len(items), errFrame)
		}
		if err := s.file(ctx, string(items[w.Index].Path), w); err != nil {
			return err
		}
	}
	return out.frame(markDone, nil)
}

// sending sends files one after the other.
type sending struct {
	out *speaker
	buf []byte
}

func (s *sending) file(ctx context.Context, name string, w wish) error {
	f, err := openFile(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if len(w.Have) > 0 {
		sum := sha256.New()
		if _, err := io.CopyBuffer(sum, untilDone{ctx, f}, s.buf); err != nil {
			return err
		}
		if string(sum.Sum(nil)) == string(w.Have) {
			return nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	if err := s.out.frame(markFile, binary.AppendUvarint(nil, uint64(w.Index))); err != nil {
		return err
	}
	sum := sha256.New()
	for {
		n, err := io.ReadFull(untilDone{ctx, f}, s.buf)
		if n > 0 {
			sum.Write(s.buf[:n])
			if err := s.out.frame(markData, s.buf[:n]); err != nil {
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
	return s.out.frame(markSum, sum.Sum(nil))
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
