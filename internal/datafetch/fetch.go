package datafetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/partfile"
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
		return localError(partfile.Remove(name), name) // whole, says its name; whoever brought it was killed just after
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return localError(err, dir)
	}
	one := &fetching{Web: w, address: address, file: f, progress: progress}
	err := one.fetch(ctx, name, sum)
	if HasChanged(err) || one.wrong || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(err, partfile.Remove(name)) // of no use, or in the way of others
	}
	return err
}

// fetching is one Fetch at work.
type fetching struct {
	Web
	address  string
	file     File
	to       *partfile.File
	progress Progress
	got      atomic.Int64 // bytes that are there
	wrong    bool         // it is not what was promised
}

// units of a range are written down one by one, so that a kill costs, of all
// connections together, no more than a range.
func (f *fetching) units() int64 {
	const least = 4 << 10
	return max(least, f.RangeSize/int64(2*f.Connections)/least*least)
}

func (f *fetching) fetch(ctx context.Context, name, sum string) (err error) {
	id, err := json.Marshal(f.file)
	if err != nil {
		return err
	}
	f.to, err = partfile.Open(name, partfile.Content{ID: string(id), Size: max(0, f.file.Size), Unit: f.units()})
	if err != nil {
		return localError(err, name)
	}
	defer func() { err = errors.Join(err, localError(f.to.Close(), name)) }()
	if f.to.Moved() {
		return localError(partfile.Remove(name), name)
	}
	if f.file.Ranges && f.file.Size > 0 {
		err = f.ranges(ctx)
	} else {
		err = f.whole(ctx)
	}
	if err != nil {
		return err
	}
	if err := f.check(ctx, sum); err != nil {
		return err
	}
	return localError(f.to.Finish(private, time.Time{}), name)
}

// private is the mode of a file that came.
const private = 0o600

// ranges brings what is missing in parts, several at once.
func (f *fetching) ranges(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(f.Connections)
	f.got.Store(f.to.Have())
	f.progress(f.got.Load(), f.file.Size)
	for _, s := range f.to.Missing(f.RangeSize) {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return f.part(inner, s) })
	}
	return group.Wait()
}

// part brings one range whole. What came of it before the line was cut stays.
func (f *fetching) part(ctx context.Context, s partfile.Span) error {
	p := &part{Span: s, unit: f.units(), to: f.to}
	return f.tryMoving(ctx, where(f.address), &p.got, func(ctx context.Context) error {
		r, err := f.get(ctx, f.address, s.Off+p.got, s.N-p.got, f.file.ETag)
		if err != nil {
			return err
		}
		defer drain(r)
		if err := f.checkPart(r, s.Off+p.got); err != nil {
			return err
		}
		return f.copy(ctx, r.Body, p)
	})
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

// part is a range on its way.
type part struct {
	partfile.Span
	to   *partfile.File
	unit int64
	got  int64
	sum  uint32 // of the unit that is on its way
}

// next is how far that unit reaches, in the range.
func (p *part) next() int64 { return min(p.N, (p.got/p.unit+1)*p.unit) }

// take puts bytes in their place, and writes down the unit when it is there.
func (p *part) take(b []byte) error {
	if _, err := p.to.Data().WriteAt(b, p.Off+p.got); err != nil {
		return err
	}
	p.got += int64(len(b))
	p.sum = partfile.Sum(p.sum, b)
	if p.got < p.N && p.got%p.unit != 0 {
		return nil
	}
	sum := p.sum
	p.sum = 0
	return p.to.Record(int((p.Off+p.got-1)/p.unit), sum)
}

// copy writes what comes to its place, up to the range's end.
func (f *fetching) copy(ctx context.Context, from io.Reader, p *part) error {
	from = movingReader(ctx, from)
	buf := make([]byte, copyBuffer)
	for p.got < p.N {
		n, err := from.Read(buf[:min(int64(len(buf)), p.next()-p.got)])
		if n > 0 {
			if err := p.take(buf[:n]); err != nil {
				return localError(err, f.to.Data().Name())
			}
			f.progress(f.got.Add(int64(n)), f.file.Size)
		}
		if err != nil && p.got < p.N {
			if errors.Is(err, io.EOF) { // shorter than it said
				err = io.ErrUnexpectedEOF
			}
			return &Error{What: "the line was cut (" + innermost(err) + ")", Where: where(f.address), Temporary: true, Away: true}
		}
	}
	return nil
}

const copyBuffer = 256 << 10

// whole brings a file that cannot be had in parts, from its beginning each time.
func (f *fetching) whole(ctx context.Context) error {
	return f.try(ctx, where(f.address), func(ctx context.Context) error {
		f.got.Store(0)
		if err := f.restart(); err != nil {
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
			if _, err := f.to.Data().WriteAt(buf[:n], at); err != nil {
				return localError(err, f.to.Data().Name())
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

// restart forgets what is there.
func (f *fetching) restart() error {
	return localError(f.to.Data().Truncate(0), f.to.Data().Name())
}

// check reads what came, when its digest is known.
func (f *fetching) check(ctx context.Context, sum string) error {
	if sum == "" {
		return nil
	}
	h, data := sha256.New(), f.to.Data()
	if _, err := data.Seek(0, io.SeekStart); err != nil {
		return localError(err, data.Name())
	}
	if _, err := io.Copy(h, untilDone{ctx, data}); err != nil {
		return localError(err, data.Name())
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, sum) {
		f.wrong = true
		return &Error{
			What: "its SHA-256 is " + got + ", not " + strings.ToLower(sum), Where: where(f.address),
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
