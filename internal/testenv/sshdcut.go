package testenv

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Line is a TCP line to an address that a test can cut.
type Line struct {
	Address string // where it begins: 127.0.0.1:PORT

	target   string
	listener net.Listener
	working  sync.WaitGroup

	mu      sync.Mutex
	ends    map[net.Conn]struct{}
	closed  bool
	refuse  bool
	stalled chan struct{} // nil while bytes flow; closed when they do again
	left    int64         // bytes until a reset; negative: none is planned
	passed  int64
	weather weather
}

// Cut makes a line to target that lasts as long as the test.
func Cut(t testing.TB, target string) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: line: %v", err)
	}
	l := &Line{Address: listener.Addr().String(), target: target, listener: listener, ends: map[net.Conn]struct{}{}, left: -1}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l.working.Go(func() { l.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.Heal()
		l.Reset()
		l.working.Wait()
	})
	return l
}

func (l *Line) accept(ctx context.Context) {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.working.Go(func() { l.serve(ctx, near) })
	}
}

func (l *Line) serve(ctx context.Context, near net.Conn) {
	if !l.enter(near) {
		return
	}
	defer l.leave(near)
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", l.target)
	if err != nil || !l.enter(far) {
		return
	}
	defer l.leave(far)
	var both sync.WaitGroup
	both.Go(func() { l.carry(ctx, far, near) })
	both.Go(func() { l.carry(ctx, near, far) })
	both.Wait()
}

// enter takes an end into the books, or resets it at once.
func (l *Line) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse || l.closed {
		reset(c)
		return false
	}
	l.ends[c] = struct{}{}
	return true
}

func (l *Line) leave(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ends, c)
}

func (l *Line) carry(ctx context.Context, to, from net.Conn) {
	buf := make([]byte, 16<<10)
	deliver, last := func(parcel []byte) bool { return l.pass(ctx, to, parcel) }, func() {}
	if w := l.sky(); w.late() {
		deliver, last = l.lately(ctx, w, to, from)
	}
	defer last()
	for {
		n, err := from.Read(buf)
		if n > 0 && !deliver(buf[:n]) {
			return
		}
		if err != nil {
			last()
		}
		if err != nil {
			if half, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
				_ = half.CloseWrite()
			} else {
				_ = to.Close()
			}
			return
		}
	}
}

// pass brings some bytes to the other end, and says whether more may follow.
func (l *Line) pass(ctx context.Context, to net.Conn, parcel []byte) bool {
	l.wait()
	if l.count(len(parcel)) {
		l.Reset()
		return false
	}
	if _, err := to.Write(parcel); err != nil {
		return false
	}
	l.rest(ctx, len(parcel))
	return true
}

// wait waits while the line is stalled.
func (l *Line) wait() {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// count says whether the planned reset is due.
func (l *Line) count(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed += int64(n)
	if l.left < 0 {
		return false
	}
	if l.left -= int64(n); l.left < 0 {
		return true
	}
	return false
}

// Ends is how many connections' ends there are: two of each that is up.
func (l *Line) Ends() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ends)
}

// Passed is how many bytes went through, both ways together.
func (l *Line) Passed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}

// Stall makes that nothing goes through any more, and nobody is told: a cable that was pulled. New connections
// open, and hear nothing.
func (l *Line) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled == nil {
		l.stalled = make(chan struct{})
	}
}

// Refuse resets all connections and every new one.
func (l *Line) Refuse() {
	l.mu.Lock()
	l.refuse = true
	l.mu.Unlock()
	l.Reset()
}

// Heal ends Stall and Refuse. What was held back goes through.
func (l *Line) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = false
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
}

// Reset resets the connections there are; new ones are fine.
func (l *Line) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.ends {
		reset(c)
	}
}

// ResetAfter plans one Reset for when so many bytes went through, both ways together.
func (l *Line) ResetAfter(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = bytes
}

// reset ends a connection without a farewell.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
