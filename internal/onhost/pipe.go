package onhost

import (
	"io"
	"sync"
)

const (
	// pipeRoom is how much a pipe holds.
	pipeRoom = 1 << 20
	// firstRoom is how much it begins with: most verbs say little.
	firstRoom = 64 << 10
)

// pipe holds what a verb said until it is read, so that its last words are
// there when it has gone. A full one makes it wait.
type pipe struct {
	mu     sync.Mutex
	change sync.Cond
	// ring holds n bytes from at on, and goes on at its beginning.
	ring  []byte
	at, n int
	// ended is why no more comes; deaf says that nobody reads any more.
	ended error
	deaf  bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.change.L = &p.mu
	return p
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for written := 0; ; p.change.Broadcast() {
		for len(b) > 0 && p.n == pipeRoom && !p.deaf && p.ended == nil {
			p.change.Wait()
		}
		switch {
		case p.deaf || len(b) == 0:
			return written + len(b), nil
		case p.ended != nil:
			return written, io.ErrClosedPipe
		}
		if p.n == len(p.ring) {
			p.grow()
		}
		end := (p.at + p.n) % len(p.ring)
		room := p.ring[end:min(len(p.ring), end+len(p.ring)-p.n)]
		n := copy(room, b)
		p.n, b, written = p.n+n, b[n:], written+n
	}
}

// grow doubles the ring.
func (p *pipe) grow() {
	more := make([]byte, max(firstRoom, 2*len(p.ring)))
	first := copy(more, p.ring[p.at:])
	copy(more[first:], p.ring[:p.at])
	p.ring, p.at = more, 0
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.n == 0 && p.ended == nil {
		p.change.Wait()
	}
	if p.n == 0 {
		return 0, p.ended
	}
	n := copy(b, p.ring[p.at:min(len(p.ring), p.at+p.n)])
	p.at, p.n = (p.at+n)%len(p.ring), p.n-n
	p.change.Broadcast()
	return n, nil
}

// end says that no more comes.
func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = err
	p.change.Broadcast()
}

// drop takes what is yet to come and forgets it.
func (p *pipe) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf, p.ring, p.at, p.n = true, nil, 0, 0
	p.change.Broadcast()
}
