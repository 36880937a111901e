package onhost

import (
	"io"
	"sync"
)

// pipeRoom is how much a pipe holds.
const pipeRoom = 1 << 20

// pipe holds what a verb said until it is read, so that its last words are
// there when it has gone. A full one makes it wait.
type pipe struct {
	mu     sync.Mutex
	change sync.Cond
	held   []byte
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
	for len(p.held) >= pipeRoom && !p.deaf && p.ended == nil {
		p.change.Wait()
	}
	switch {
	case p.deaf:
		return len(b), nil
	case p.ended != nil:
		return 0, io.ErrClosedPipe
	}
	p.held = append(p.held, b...)
	p.change.Broadcast()
	return len(b), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.held) == 0 && p.ended == nil {
		p.change.Wait()
	}
	if len(p.held) == 0 {
		return 0, p.ended
	}
	n := copy(b, p.held)
	if p.held = p.held[n:]; len(p.held) == 0 {
		p.held = nil
	}
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
	p.deaf, p.held = true, nil
	p.change.Broadcast()
}
