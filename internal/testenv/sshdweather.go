package testenv

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// weather is how bytes fare on a line.
type weather struct {
	delay, jitter time.Duration
	loss          float64
	rate          int64
}

func (w weather) late() bool { return w.delay > 0 || w.jitter > 0 || w.loss > 0 }

// resent is how long TCP waits at least before it sends again what was lost: all behind it waits too.
const resent = 200 * time.Millisecond

// onTheWay is how many parcels, of 16 KiB at most, a late line holds each way: those beyond wait at its beginning.
const onTheWay = 64

// Lag makes everything on connections that are made from now on arrive late: by delay, more or less by up to jitter, and
// what is lost, one parcel in so many, only when it has been sent again. In order, as TCP brings it. Each way.
func (l *Line) Lag(delay, jitter time.Duration, loss float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather.delay, l.weather.jitter, l.weather.loss = delay, jitter, loss
}

// Slow lets no more than so many bytes a second pass, each way of each connection; zero: as many as there are.
func (l *Line) Slow(bytesPerSecond int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather.rate = bytesPerSecond
}

func (l *Line) sky() weather {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather
}

// rest is what a slow line needs for n bytes.
func (l *Line) rest(ctx context.Context, n int) {
	if rate := l.sky().rate; rate > 0 {
		wait(ctx, time.Duration(n)*time.Second/time.Duration(rate))
	}
}

// parcel is what was read at once, and when it arrives.
type parcel struct {
	bytes []byte
	at    time.Time
}

// lately makes a way on which bytes are late. last waits until all have arrived.
func (l *Line) lately(ctx context.Context, w weather, to, from net.Conn) (deliver func([]byte) bool, last func()) {
	way := make(chan parcel, onTheWay)
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		for p := range way {
			wait(ctx, time.Until(p.at))
			if !l.pass(ctx, to, p.bytes) {
				_ = from.Close() // nobody reads it any more
				for range way {
				}
				return
			}
		}
	}()
	deliver = func(some []byte) bool {
		late := w.delay
		if w.jitter > 0 {
			late += rand.N(2*w.jitter) - w.jitter
		}
		if rand.Float64() < w.loss {
			late += resent
		}
		way <- parcel{bytes.Clone(some), time.Now().Add(late)}
		return true
	}
	return deliver, sync.OnceFunc(func() { close(way); <-arrived })
}
