package supervise

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// OffsetSince says from which byte of the log on the output was written at
// time t or later, exact to a tenth of a second.
func OffsetSince(dir string, t time.Time) (int64, error) {
	index, err := os.ReadFile(filepath.Join(dir, indexFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the log's index: %w", err)
	}
	var size int64
	if info, err := os.Stat(filepath.Join(dir, LogFile)); err == nil {
		size = info.Size()
	}
	return offsetSince(index, size, t.UnixNano()), nil
}

// OffsetIn is OffsetSince for a log of that size whose index was read already.
func OffsetIn(index []byte, size int64, t time.Time) int64 {
	return offsetSince(index, size, t.UnixNano())
}

func offsetSince(index []byte, size, t int64) int64 {
	entries := len(index) / indexEntry
	at := func(i int) (offset, written int64) {
		e := index[i*indexEntry:]
		return int64(binary.LittleEndian.Uint64(e)), int64(binary.LittleEndian.Uint64(e[8:]))
	}
	// What follows an entry was written within indexStep of it: later output
	// has an entry of its own.
	i := sort.Search(entries, func(i int) bool {
		_, written := at(i)
		return written+int64(indexStep) > t
	})
	if i == entries {
		return size
	}
	offset, _ := at(i)
	return min(max(offset, 0), size)
}

// lostCheck is how often a reader that waits looks whether the supervisor is
// still there: its death changes no file that we can count on.
const lostCheck = 2 * time.Second

// pollStep is how often we look when the system lets us watch no more files.
const pollStep = 100 * time.Millisecond

// OpenLog reads the log of dir from byte offset on. Without follow it ends at
// what is there now. With it, it waits for more until the process has ended
// and all is read, or ctx ends.
func OpenLog(ctx context.Context, dir string, offset int64, follow bool) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, fmt.Errorf("read the log of %s: offset %d is negative", dir, offset)
	}
	if !follow {
		return openNow(dir, offset)
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{ctx: ctx, cancel: cancel, dir: dir, offset: offset, changed: make(chan struct{}, 1), step: lostCheck}
	w, err := newDirWatch()
	if err != nil { // a system gives a user only so many (Linux: 128)
		f.step = pollStep
		return f, nil //nolint:nilerr // looking often does as well
	}
	if err := w.add(dir, true); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("follow the log of %s: %w", dir, err), w.close())
	}
	f.watch = w
	f.watching.Go(func() {
		// When it fails, the check every lostCheck goes on.
		_ = w.run(ctx, func(string) {
			select {
			case f.changed <- struct{}{}:
			default:
			}
		})
	})
	return f, nil
}

// openNow reads what is there and no more.
func openNow(dir string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(dir, LogFile))
	if errors.Is(err, os.ErrNotExist) {
		return io.NopCloser(eof{}), nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, offset, max(0, info.Size()-offset)), f}, nil
}

// eof is an empty reader.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// follower reads a log that grows.
type follower struct {
	ctx     context.Context //nolint:containedctx // an io.Reader cannot take one in Read
	cancel  context.CancelFunc
	dir     string
	offset  int64
	file    *os.File
	changed chan struct{}
	// step is how often it looks by itself.
	step time.Duration
	// watch is nil when there are none left.
	watch *dirWatch
	// watching is the goroutine that listens to watch.
	watching sync.WaitGroup
	complete bool
}

// Read gives what is there, or waits.
func (f *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	check := time.NewTicker(f.step)
	defer check.Stop()
	for {
		if err := f.ctx.Err(); err != nil {
			return 0, context.Cause(f.ctx)
		}
		n, err := f.more(p)
		if n > 0 || err != nil {
			return n, err
		}
		if f.complete {
			return 0, io.EOF
		}
		switch StatusOf(f.dir).Phase {
		case Ended, Lost:
			f.complete = true // read what came before that, then end
			continue
		case Absent:
			if _, err := os.Stat(f.dir); errors.Is(err, os.ErrNotExist) {
				f.complete = true // it ended, and was cleared away before we looked
				continue
			}
		case Running, Unknown:
		}
		select {
		case <-f.changed:
		case <-check.C:
		case <-f.ctx.Done():
		}
	}
}

func (f *follower) more(p []byte) (int, error) {
	if f.file == nil {
		file, err := os.Open(filepath.Join(f.dir, LogFile))
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		f.file = file
	}
	n, err := f.file.ReadAt(p, f.offset)
	f.offset += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Close ends the following. A Read that waits returns.
func (f *follower) Close() error {
	f.cancel()
	var err error
	if f.watch != nil {
		err = f.watch.close()
	}
	f.watching.Wait()
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
	}
	return err
}
