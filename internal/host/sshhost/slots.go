package sshhost

import (
	"context"
	"sync"
)

// firstLimit is how many sessions OpenSSH gives by default.
const firstLimit = 10

// slots are the sessions that a server gives on one connection. The limit is
// learned: when the server refuses one more, that is it.
type slots struct {
	mu     sync.Mutex
	limit  int
	used   int
	change chan struct{} // closed when a slot came free
}

func newSlots() *slots { return &slots{limit: firstLimit, change: make(chan struct{})} }

func (s *slots) take(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.used < s.limit {
			s.used++
			s.mu.Unlock()
			return nil
		}
		change := s.change
		s.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	close(s.change)
	s.change = make(chan struct{})
}

// refused says that the server gave no session to somebody who holds a slot.
// It returns how many others there are, and the limit then.
func (s *slots) refused() (others, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	others = s.used - 1
	if others > 0 {
		s.limit = min(s.limit, others)
	}
	return others, s.limit
}

// single says whether the server gives only one session.
func (s *slots) single() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit == 1
}
