package blob

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	firstWait = 500 * time.Millisecond
	longest   = 30 * time.Second
	// maxCorrupt is how often something may arrive wrong before it is no accident.
	maxCorrupt = 5
)

// Wait is told before something is tried again.
type Wait struct {
	Reason string        // what is wrong, in words, with the place
	For    time.Duration // until it is tried again; 0: until another process has done it
	Since  time.Time     // when it began to go wrong
}

// try does one thing until it is done, cannot be done, or has not been possible
// for as long as the options allow. It holds one of the container's connections
// while it works, none while it waits. This is the one place that repeats.
func (c *Container) try(ctx context.Context, where string, do func(context.Context) error) error {
	var since time.Time
	corrupt, n := 0, 0
	for {
		err := c.once(ctx, where, do)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !e.Temporary {
			return err
		}
		if e.Problem == Corrupt {
			if corrupt++; corrupt >= maxCorrupt {
				return err
			}
		}
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		wait := max(e.After, c.backoff(n))
		if c.options.Patience >= 0 && now.Add(wait).Sub(since) > c.options.Patience {
			return err
		}
		n++
		if c.report.Wait != nil {
			c.report.Wait(Wait{Reason: e.Error(), For: wait, Since: since})
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// backoff doubles from the first wait to the longest, with a spread of a half so
// that many do not come back at once.
func (c *Container) backoff(n int) time.Duration {
	wait := c.options.firstWait << min(n, 10)
	wait = min(wait, longest)
	return wait/2 + rand.N(wait/2+1)
}

// once does it one time, on one connection, and gives up when no byte moves for
// the options' stall time.
func (c *Container) once(ctx context.Context, where string, do func(context.Context) error) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.slots }()
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &watch{stall: c.options.Stall}
	w.timer = time.AfterFunc(w.stall, func() { cancel(errStalled) })
	defer w.timer.Stop()
	err := do(context.WithValue(inner, watchKey{}, w))
	if err != nil && errors.Is(context.Cause(inner), errStalled) {
		err = errStalled
	}
	return explain(ctx, err, where, c.credential)
}

// watch sees whether bytes move.
type watch struct {
	stall time.Duration
	timer *time.Timer
	last  atomic.Int64
}

type watchKey struct{}

// moved says that bytes have moved.
func moved(ctx context.Context) {
	w, ok := ctx.Value(watchKey{}).(*watch)
	if !ok {
		return
	}
	// A timer is not set anew for every few bytes.
	now := time.Now().UnixMilli()
	if now-w.last.Load() > w.stall.Milliseconds()/20 {
		w.last.Store(now)
		w.timer.Reset(w.stall)
	}
}

// body is what is sent of a file: it can be read again from its start, and says
// that bytes move.
type body struct {
	*io.SectionReader
	ctx   context.Context
	count func(n int64)
	sent  int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.SectionReader.Read(p)
	moved(b.ctx)
	b.sent += int64(n)
	b.count(int64(n))
	return n, err
}

// undo says that what was sent did not arrive.
func (b *body) undo() { b.count(-b.sent) }

func (b *body) Close() error { return nil }
