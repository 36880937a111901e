package datafetch

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

var errStalled = errors.New("no byte came for too long")

// try does one thing until it is done, cannot be done, or nothing went well for
// as long as our patience. This is the one place that repeats.
func (w Web) try(ctx context.Context, where string, do func(context.Context) error) error {
	return w.tryMoving(ctx, where, nil, do)
}

// tryMoving is try of something that counts what it got: while there is more of
// it each time, our patience does not end.
func (w Web) tryMoving(ctx context.Context, where string, got *int64, do func(context.Context) error) error {
	var since time.Time
	var before int64
	for n := 0; ; n++ {
		err := w.once(ctx, where, do)
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
		if got != nil && *got > before {
			before, n, since = *got, 0, time.Time{}
		}
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		wait := max(e.after, backoff(w.firstWait, n))
		if now.Add(wait).Sub(since) > w.Patience {
			return err
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

func backoff(first time.Duration, n int) time.Duration {
	const most = 10
	wait := min(first<<min(n, most), longestWait)
	return wait/2 + rand.N(wait/2+1)
}

// once does it one time, and gives up when no byte moves for too long.
func (w Web) once(ctx context.Context, where string, do func(context.Context) error) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(w.Stall, func() { cancel(errStalled) })
	defer timer.Stop()
	err := do(context.WithValue(inner, watchKey{}, &watch{timer: timer, stall: w.Stall}))
	if err != nil && errors.Is(context.Cause(inner), errStalled) {
		err = errStalled
	}
	return explain(ctx, err, where)
}

type watchKey struct{}

type watch struct {
	timer *time.Timer
	stall time.Duration
	last  atomic.Int64
}

// moving is a reader that says that bytes move.
type moving struct {
	io.Reader
	w *watch
}

func movingReader(ctx context.Context, r io.Reader) io.Reader {
	w, ok := ctx.Value(watchKey{}).(*watch)
	if !ok {
		return r
	}
	return moving{r, w}
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	const often = 20
	if now := time.Now().UnixMilli(); n > 0 && now-m.w.last.Load() > m.w.stall.Milliseconds()/often {
		m.w.last.Store(now)
		m.w.timer.Reset(m.w.stall)
	}
	return n, err
}
