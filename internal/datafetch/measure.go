package datafetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnerml/runner/internal/blob"
)

// Measured is how fast data was read.
type Measured struct {
	// Files and Bytes there are in all; Bytes -1: unknown.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Read bytes in so many Seconds, for the measurement.
	Read    int64   `json:"read"`
	Seconds float64 `json:"seconds"`
}

const (
	// measureBytes and measureTime end a measurement.
	measureBytes = 64 << 20
	measureTime  = 5 * time.Second
)

// Measure reads some of the source.
func (s Source) Measure(ctx context.Context) (Measured, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	m := Measured{Files: 1, Bytes: s.Size}
	begun := time.Now()
	var err error
	switch {
	case s.Web != nil:
		m.Read, err = Web{}.read(ctx, s.Web.Address, s.Web.File)
	case s.Blob != nil:
		m.Files = len(s.Blob.Blobs)
		m.Read, err = s.Blob.read(ctx)
	}
	m.Seconds = time.Since(begun).Seconds()
	if ctx.Err() != nil && m.Read > 0 {
		err = nil // that was the time
	}
	return m, err
}

// read reads up to measureBytes of a file over as many connections as a Fetch
// has.
func (w Web) read(ctx context.Context, address string, f File) (int64, error) {
	w = w.filled()
	lines := w.Connections
	if !f.Ranges || f.Size <= 0 {
		lines = 1
	}
	each := int64(measureBytes / lines)
	if f.Size > 0 {
		each = min(each, (f.Size+int64(lines)-1)/int64(lines))
	}
	var total atomic.Int64
	errs := make([]error, lines)
	var all sync.WaitGroup
	for i := range lines {
		off := int64(i) * each
		if off > 0 && off >= f.Size {
			break
		}
		all.Go(func() {
			n := each
			if lines == 1 && !f.Ranges {
				n = -1
			}
			r, err := w.get(ctx, address, off, n, "")
			if err != nil {
				errs[i] = explain(ctx, err, where(address))
				return
			}
			defer func() { _ = r.Body.Close() }()
			if r.StatusCode >= http.StatusMultipleChoices {
				errs[i] = refusal(r, where(address))
				return
			}
			_, err = io.Copy(io.Discard, &counted{io.LimitReader(r.Body, each), &total})
			errs[i] = explain(ctx, err, where(address))
		})
	}
	all.Wait()
	return total.Load(), errors.Join(errs...)
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (m *many) read(ctx context.Context) (total int64, err error) {
	for _, b := range m.Blobs {
		c := m.container
		if c == nil {
			credential, err := blob.FromSAS(b.SAS)
			if err != nil {
				return total, err
			}
			if c, err = blob.Open(m.Location, credential, blob.Options{}); err != nil {
				return total, err
			}
			defer c.Close()
		}
		f, err := c.Open(ctx, b.Name, 0)
		if err != nil {
			return total, err
		}
		n, err := io.Copy(io.Discard, io.LimitReader(f, measureBytes-total))
		if total += n; err != nil || total >= measureBytes {
			return total, errors.Join(err, f.Close())
		}
		if err := f.Close(); err != nil {
			return total, err
		}
	}
	return total, nil
}

// MeasurePath reads some of a file or directory of this machine.
func MeasurePath(ctx context.Context, name string) (m Measured, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*measureTime)
	defer cancel()
	var files []string
	err = filepath.WalkDir(name, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			m.Files++
			m.Bytes += info.Size()
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	begun := time.Now()
	for _, path := range files {
		if m.Read >= measureBytes || time.Since(begun) > measureTime {
			break
		}
		f, err := os.Open(path)
		if err != nil {
			return m, err
		}
		n, err := io.Copy(io.Discard, untilDone{ctx, io.LimitReader(f, measureBytes-m.Read)})
		m.Read += n
		if err := errors.Join(err, f.Close()); err != nil {
			return m, err
		}
	}
	m.Seconds = time.Since(begun).Seconds()
	return m, nil
}
