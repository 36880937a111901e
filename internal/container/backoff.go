package container

import (
	"context"
	"time"
)

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 3 * time.Second
)

// backoff waits between tries, each time twice as long, up to maxPause. Its
// zero value is ready.
type backoff struct{ next time.Duration }

// pause waits, or returns ctx's error when that ends first.
func (b *backoff) pause(ctx context.Context) error {
	b.next = min(max(b.next, firstPause), maxPause)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	b.next *= 2
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reset begins anew after a success.
func (b *backoff) reset() { b.next = 0 }
