package sshhost

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"
)

// busyMost is the longest pause before a server is tried again that has too
// many logins under way.
const busyMost = 4 * time.Second

// dialBusy is dial, again for a while when the server has too many logins under
// way: those of others end, or are thrown out, in their time.
func (d *dialer) dialBusy(ctx context.Context, tasks *sync.WaitGroup) (*conn, error) {
	began := time.Now()
	for pause := shortestPause; ; pause = min(2*pause, busyMost) {
		c, err := d.dial(ctx, tasks)
		busy, ok := errors.AsType[*BusyError](err)
		if !ok {
			return c, err
		}
		next := pause/2 + rand.N(pause/2)
		if busy.Tried = time.Since(began); busy.Tried+next > d.cfg.BusyPatience {
			return nil, busy
		}
		if err := wait(ctx, next); err != nil {
			return nil, errors.Join(err, busy)
		}
	}
}

// limitWord is in what OpenSSH says before it ends a connection that is one too
// many. What it says is often lost on the way.
const limitWord = "MaxStartups"

// busy tells a connection that the server ended because it has too many logins
// under way; nil: it is something else.
func (w *wire) busy(h hop) error {
	if strings.Contains(w.foreign(), limitWord) {
		return &BusyError{Address: h.address(), Says: true, Err: errors.New(w.foreign())}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killed != nil || len(w.greeting) > 0 || h.command != "" { // a command says itself what it is about
		return nil
	}
	for _, end := range []error{io.EOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(w.broken, end) {
			return &BusyError{Address: h.address(), Err: w.broken}
		}
	}
	return nil
}
