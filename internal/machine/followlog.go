package machine

import (
	"context"
	"io"
	"sync"
	"time"
)

const (
	// logPause is before a log is begun again that was cut off: at first, and
	// at most.
	logPause     = 50 * time.Millisecond
	mostLogPause = 2 * time.Second
	// logTries is how often a log that is read to what is there now is begun
	// without a byte.
	logTries = 3
)

// openLog reads a supervised log. That of another machine goes on where it was
// when the line breaks: each byte comes once.
func (m *Machine) openLog(ctx context.Context, dir string, offset int64, follow bool) (io.ReadCloser, error) {
	if m.remote == nil {
		return m.keeper.OpenLog(ctx, dir, offset, follow)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &remoteLog{m: m, ctx: ctx, cancel: cancel, dir: dir, offset: offset, follow: follow, pause: logPause}, nil
}

// remoteLog is a log on a host that is read over a line that may break.
type remoteLog struct {
	m      *Machine
	ctx    context.Context //nolint:containedctx // an io.Reader cannot take one in Read
	cancel context.CancelFunc
	dir    string
	follow bool

	offset int64
	tries  int
	pause  time.Duration

	mu     sync.Mutex // guards what follows against Close
	closed bool
	open   io.ReadCloser
}

// Read gives what is there, or waits.
func (r *remoteLog) Read(p []byte) (int, error) {
	for {
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		open, err := r.ready()
		if err == nil {
			var n int
			if n, err = open.Read(p); n > 0 {
				r.offset += int64(n)
				r.tries, r.pause = 0, logPause
				return n, nil
			}
		}
		if err == nil {
			continue
		}
		r.shut()
		switch {
		case r.ctx.Err() != nil:
			return 0, context.Cause(r.ctx)
		case !r.m.unreachable(err): // first: a lost line's error may be an end of file, too
			return 0, err
		case !r.follow:
			if r.tries++; r.tries == logTries {
				return 0, err
			}
		}
		r.rest()
	}
}

// ready opens the log where it goes on.
func (r *remoteLog) ready() (io.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil || r.closed {
		return r.open, r.ctx.Err()
	}
	open, err := r.m.keeper.OpenLog(r.ctx, r.dir, r.offset, r.follow)
	if err != nil {
		return nil, err
	}
	r.open = open
	return open, nil
}

// shut closes what is open.
func (r *remoteLog) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil {
		_ = r.open.Close() // only read
		r.open = nil
	}
}

// rest waits before the log is begun again, besides the host's own pauses.
func (r *remoteLog) rest() {
	timer := time.NewTimer(r.pause)
	defer timer.Stop()
	r.pause = min(2*r.pause, mostLogPause)
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// Close ends the reading. A Read that waits returns.
func (r *remoteLog) Close() error {
	r.cancel()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.shut()
	return nil
}
