package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	// worthKeeping is the size from which on what came of a file that was cut
	// off is kept.
	worthKeeping = 1 << 20
	// copyBuffer is how much is written at once.
	copyBuffer = 256 << 10
)

// Put stores one file. It is on the disk when Put returns, which several do
// faster at once than one after the other. What came of a large file that was
// cut off is kept for PutRest.
func (d *Directory) Put(ctx context.Context, file File, r io.Reader) error {
	return d.put(file.Path, func(root *os.Root, temporary string) error {
		f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		return write(ctx, root, temporary, f, file, 0, r)
	})
}

// PutRest is Put of a file of which the first at bytes are kept from before.
func (d *Directory) PutRest(ctx context.Context, file File, at int64, r io.Reader) error {
	return d.put(file.Path, func(root *os.Root, temporary string) error {
		if err := root.Rename(partName(file.Path), temporary); err != nil {
			return err
		}
		f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		if info, err := f.Stat(); err != nil || info.Size() != at {
			return errors.Join(err, fmt.Errorf("the rest from byte %d on: %w", at, errOtherPart), f.Close())
		}
		return write(ctx, root, temporary, f, file, at, r)
	})
}

// errOtherPart is a rest that does not fit what is kept.
var errOtherPart = errors.New("it is not the rest of what is here")

// put is store of a file whose beginning is kept when it is cut off.
func (d *Directory) put(name string, create func(root *os.Root, temporary string) error) error {
	return d.store(name, func(root *os.Root, temporary string) error {
		err := create(root, temporary)
		if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, errOtherPart) && !errors.Is(err, ErrCorrupt) {
			keepPart(root, temporary, partName(name))
		}
		if err == nil {
			_ = root.Remove(partName(name)) // of an earlier version
		}
		return err
	})
}

// write writes what follows the first at bytes to f, which is called temporary,
// makes it durable and closes it.
func write(ctx context.Context, root *os.Root, temporary string, f *os.File, file File, at int64, r io.Reader) error {
	into, sum := io.Writer(struct{ io.Writer }{f}), sha256.New()
	var err error
	if file.Digest != nil {
		into = io.MultiWriter(f, sum)
		err = addBeginning(ctx, sum, root, temporary, at)
	}
	var n int64
	if err == nil {
		n, err = io.CopyBuffer(into, stopReader{ctx, r}, make([]byte, copyBuffer))
	}
	if err == nil && file.Size >= 0 && at+n != file.Size {
		err = fmt.Errorf("%d of %d bytes came: %w", at+n, file.Size, io.ErrUnexpectedEOF)
	}
	if err == nil && file.Digest != nil && !bytes.Equal(sum.Sum(nil), file.Digest) {
		err = ErrCorrupt
	}
	if err == nil {
		err = f.Chmod(file.Mode.Perm() | 0o600)
	}
	if err == nil && !file.Modified.IsZero() {
		err = root.Chtimes(temporary, file.Modified, file.Modified)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// addBeginning adds the first size bytes of a file to a sum.
func addBeginning(ctx context.Context, sum io.Writer, root *os.Root, name string, size int64) error {
	if size == 0 {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	_, err = io.CopyBuffer(sum, stopReader{ctx, io.LimitReader(f, size)}, make([]byte, copyBuffer))
	return err
}

// Begun is how much is kept of a file whose Put was cut off, and the SHA-256 of
// that; zero when nothing is.
func (d *Directory) Begun(ctx context.Context, name string) (size int64, digest []byte, err error) {
	if err := d.check(name); err != nil {
		return 0, nil, err
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Lstat(incoming); errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	leave, err := d.room.enter(root) // which finds what a crash left
	if err != nil {
		return 0, nil, fmt.Errorf("artifact %q: %w", name, err)
	}
	defer leave()
	f, err := root.Open(partName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = f.Close() }() // only read
	sum := sha256.New()
	size, err = io.CopyBuffer(struct{ io.Writer }{sum}, stopReader{ctx, f}, make([]byte, copyBuffer))
	if err != nil {
		return 0, nil, fmt.Errorf("artifact %q: %w", name, err)
	}
	return size, sum.Sum(nil), nil
}

// stopReader ends with ctx.
type stopReader struct {
	ctx context.Context
	r   io.Reader
}

func (s stopReader) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
