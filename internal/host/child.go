package host

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// child is a spawned process whose exit status we take when it comes.
type child struct {
	// ended is closed when it ended or was abandoned. The fields below may be
	// read after that.
	ended chan struct{}
	// code is 128 + number for a signal; -1 when abandoned.
	code   int
	signal string
	// watch is readable when it ended; closing it abandons the child. Nil
	// where the system has no such thing.
	watch     *os.File
	abandoned atomic.Bool
}

func (c *child) abandon() {
	if c.watch != nil {
		c.abandoned.Store(true)
		_ = c.watch.Close() // wakes the waiting goroutine
	}
}

// take stores how the child ended.
func (c *child) take(status unix.WaitStatus) {
	c.code = status.ExitStatus()
	if status.Signaled() {
		c.signal = unix.SignalName(status.Signal())
		c.code = 128 + int(status.Signal())
	}
}

// adopt runs wait in a goroutine. Close waits for it when the child can be
// abandoned.
func (h *Here) adopt(c *child, wait func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spawned[c] = struct{}{}
	if c.watch != nil {
		h.reaping.Add(1)
	}
	if h.closed {
		c.abandon()
	}
	go func() {
		if c.watch != nil {
			defer h.reaping.Done()
		}
		wait()
		close(c.ended)
		c.abandon()
		h.mu.Lock()
		delete(h.spawned, c)
		h.mu.Unlock()
	}()
}
