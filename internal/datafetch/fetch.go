package datafetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Progress is told of how many bytes are there, of how many; total -1: unknown.
// It is called from several goroutines and must not block.
type Progress func(done, total int64)

// Fetch brings the file at an address, as it was looked at, into dir, which
// nobody else writes to. sum is its SHA-256 in hex; empty: it has the ETag that
// it had. What an earlier Fetch left in dir is gone on with.
func (w Web) Fetch(ctx context.Context, address string, f File, sum, dir string, progress Progress) error {
	w = w.filled()
	if progress == nil {
		progress = func(int64, int64) {}
	}
	name := filepath.Join(dir, f.Name)
	if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
		return nil // whole, says its name; whoever brought it was killed just after
	}
	const private = 0o700
	if err := os.MkdirAll(dir, private); err != nil {
		return localError(err, dir)
	}
	p, err := openPartial(name, f, w.RangeSize)
	if err != nil {
		return err
	}
	defer p.close()
	one := &fetching{Web: w, address: address, file: f, to: p, progress: progress}
	if f.Ranges && f.Size > 0 {
		err = one.ranges(ctx)
	} else {
		err = one.whole(ctx)
	}
	if HasChanged(err) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(err, p.remove()) // of no use, or in the way of others
	}
	if err != nil {
		return err
	}
	if err := p.check(ctx, sum, where(address)); err != nil {
		return errors.Join(err, p.remove())
	}
	return p.finish(name)
}

// fetching is one Fetch at work.
type fetching struct {
	Web
	address  string
	file     File
	to       *partial
	progress Progress
	got      atomic.Int64 // bytes that are there
}

// ranges brings what is missing in parts, several at once.
func (f *fetching) ranges(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(f.Connections)
	f.got.Store(f.to.have())
	f.progress(f.got.Load(), f.file.Size)
	for i := range f.to.count() {
		if f.to.has(i) {
			continue
		}
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return f.part(inner, i) })
	}
	return group.Wait()
}

// part brings one range whole. What came of it before the line was cut stays.
func (f *fetching) part(ctx context.Context, i int) error {
	off, n := f.to.span(i)
	var got int64
	crc := crc32.New(castagnoli)
	err := f.tryMoving(ctx, where(f.address), &got, func(ctx context.Context) error {
		r, err := f.get(ctx, f.address, off+got, n-got, f.file.ETag)
		if err != nil {
			return err
		}
		defer drain(r)
		if err := f.checkPart(r, off+got); err != nil {
			return err
		}
		return f.copy(ctx, r.Body, off, n, &got, crc)
	})
	if err != nil {
		return err
	}
	return f.to.record(i, crc.Sum32())
}

// checkPart says that an answer is not the part of the file that was looked at.
func (f *fetching) checkPart(r *http.Response, off int64) error {
	switch {
	case r.StatusCode == http.StatusOK, r.StatusCode == http.StatusRequestedRangeNotSatisfiable, r.StatusCode == http.StatusPreconditionFailed:
		return changed(where(f.address)) // If-Range: it is another now
	case r.StatusCode != http.StatusPartialContent:
		return refusal(r, where(f.address))
	}
	first, total, err := contentRange(r)
	switch {
	case err != nil:
		return &Error{What: err.Error(), Where: where(f.address), Temporary: true}
	case total != f.file.Size || f.file.ETag != "" && signOf(r) != f.file.ETag:
		return changed(where(f.address))
	case first != off:
		return &Error{What: "the server answers with another part than was asked for", Where: where(f.address), Temporary: true}
	}
	return nil
}

const copyBuffer = 256 << 10

// copy writes what comes to its place, up to the range's end.
func (f *fetching) copy(ctx context.Context, from io.Reader, off, n int64, got *int64, sum hash.Hash32) error {
	from = movingReader(ctx, from)
	buf := make([]byte, copyBuffer)
	for *got < n {
		m, err := from.Read(buf[:min(int64(len(buf)), n-*got)])
		if m > 0 {
			if err := f.to.write(buf[:m], off+*got); err != nil {
				return err
			}
			_, _ = sum.Write(buf[:m]) // never fails
			*got += int64(m)
			f.progress(f.got.Add(int64(m)), f.file.Size)
		}
		if err != nil && *got < n {
			if errors.Is(err, io.EOF) { // shorter than it said
				err = io.ErrUnexpectedEOF
			}
			return &Error{What: "the line was cut (" + innermost(err) + ")", Where: where(f.address), Temporary: true, Away: true}
		}
	}
	return nil
}

// whole brings a file that cannot be had in parts, from its beginning each time.
func (f *fetching) whole(ctx context.Context) error {
	return f.try(ctx, where(f.address), func(ctx context.Context) error {
		f.got.Store(0)
		if err := f.to.restart(); err != nil {
			return err
		}
		if f.file.Size == 0 {
			return nil
		}
		r, err := f.get(ctx, f.address, 0, -1, "")
		if err != nil {
			return err
		}
		defer drain(r)
		if r.StatusCode != http.StatusOK {
			return refusal(r, where(f.address))
		}
		if f.file.ETag != "" && signOf(r) != f.file.ETag || f.file.Size >= 0 && r.ContentLength >= 0 && r.ContentLength != f.file.Size {
			return changed(where(f.address))
		}
		return f.all(ctx, r)
	})
}

func (f *fetching) all(ctx context.Context, r *http.Response) error {
	from := movingReader(ctx, r.Body)
	buf := make([]byte, copyBuffer)
	var at int64
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := f.to.write(buf[:n], at); err != nil {
				return err
			}
			at += int64(n)
			f.progress(f.got.Add(int64(n)), f.file.Size)
		}
		if errors.Is(err, io.EOF) {
			if f.file.Size >= 0 && at != f.file.Size {
				return &Error{What: fmt.Sprintf("only %d of %d bytes came", at, f.file.Size), Where: where(f.address), Temporary: true}
			}
			return nil
		}
		if err != nil {
			return &Error{What: "the line was cut (" + innermost(err) + ")", Where: where(f.address), Temporary: true, Away: true}
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// check reads what came, when its digest is known.
func (p *partial) check(ctx context.Context, sum, where string) error {
	if sum == "" {
		return nil
	}
	h := sha256.New()
	if _, err := p.data.Seek(0, io.SeekStart); err != nil {
		return localError(err, p.data.Name())
	}
	if _, err := io.Copy(h, untilDone{ctx, p.data}); err != nil {
		return localError(err, p.data.Name())
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, sum) {
		return &Error{
			What: "its SHA-256 is " + got + ", not " + strings.ToLower(sum), Where: where,
			Hint: "either the file is another now, or the spec's sha256 is wrong",
		}
	}
	return nil
}

type untilDone struct {
	ctx context.Context //nolint:containedctx // for one copy
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.Reader.Read(p)
}
