package machine

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

const (
	// logPause is how long a log of a host is left alone that we look at again
	// and again: at first, and when nothing comes.
	logPause     = 100 * time.Millisecond
	mostLogPause = 2 * time.Second
	// logTries is how often a log that is read to what is there now is begun
	// again without a byte.
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
	// complete: all that will ever be there is in what is open now.
	complete bool

	mu     sync.Mutex // guards what follows against Close
	closed bool
	open   io.ReadCloser
	stream bool // open follows
}

// Read gives what is there, or waits.
func (r *remoteLog) Read(p []byte) (int, error) {
	for {
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		open, err := r.ready()
		n := 0
		if err == nil {
			if n, err = open.Read(p); n > 0 {
				r.offset += int64(n)
				r.tries, r.pause = 0, logPause
				return n, nil
			}
		}
		if err == nil {
			continue
		}
		followed := r.shut()
		switch {
		case r.ctx.Err() != nil:
			return 0, context.Cause(r.ctx)
		case errors.Is(err, io.EOF):
			if !r.follow || followed || r.complete {
				return 0, io.EOF
			}
			r.rest()
		case !r.m.unreachable(err):
			return 0, err
		case !r.follow:
			if r.tries++; r.tries == logTries {
				return 0, err
			}
		default:
			r.rest() // the host has its own pauses; these are for those who have none
		}
	}
}

// ready opens the log where it goes on.
func (r *remoteLog) ready() (io.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil || r.closed {
		return r.open, r.ctx.Err()
	}
	stream := r.follow && r.m.remote.streams.take()
	if r.follow && !stream {
		all, err := r.m.keeper.Status(r.ctx, []string{r.dir})
		if err != nil {
			return nil, err
		}
		r.complete = all[0].Phase == supervise.Ended || all[0].Phase == supervise.Lost
	}
	open, err := r.m.keeper.OpenLog(r.ctx, r.dir, r.offset, stream)
	if err != nil {
		if stream {
			r.m.remote.streams.give()
		}
		return nil, err
	}
	r.open, r.stream = open, stream
	return open, nil
}

// shut closes what is open and says whether it followed.
func (r *remoteLog) shut() (followed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return false
	}
	_ = r.open.Close() // only read
	followed = r.stream
	if r.stream {
		r.m.remote.streams.give()
	}
	r.open, r.stream = nil, false
	return followed
}

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
