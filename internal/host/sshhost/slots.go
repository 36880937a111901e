package sshhost

import (
	"errors"
	"sync"
)

const (
	// firstLimit is how many sessions OpenSSH gives by default.
	firstLimit = 10
	// fewSessions is a limit at which none is kept for files alone.
	fewSessions = 3
)

// errFull is a connection on which the server gives no more sessions.
var errFull = errors.New("no session is free")

// slots count the sessions on all connections to a server. How many it gives
// on one connection is learned: when it refuses one more, that was it.
type slots struct {
	mu    sync.Mutex
	limit int
	// change is closed when a slot came free.
	change chan struct{}
}

func newSlots() *slots { return &slots{limit: firstLimit, change: make(chan struct{})} }

// changed gives a channel that is closed when a slot comes free.
func (s *slots) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change
}

// few says whether no session can be spared for files.
func (s *slots) few() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit <= fewSessions
}

// connSlots are those of one connection.
type connSlots struct {
	all     *slots
	used    int
	retired bool
}

// take takes one, when one is free.
func (s *connSlots) take() error {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	if s.retired || s.used >= s.all.limit {
		return errFull
	}
	s.used++
	return nil
}

func (s *connSlots) free() bool {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	return !s.retired && s.used < s.all.limit
}

func (s *connSlots) give() {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.used--
	close(s.all.change)
	s.all.change = make(chan struct{})
}

// refused says that the server gave no session to somebody who holds a slot.
// It returns how many others there are; that is the limit then.
func (s *connSlots) refused() (others int) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	others = s.used - 1
	if others > 0 {
		s.all.limit = min(s.all.limit, others)
	}
	return others
}

// retire makes that nobody takes one any more; it says false when one is used.
func (s *connSlots) retire() bool {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.retired = s.used == 0
	return s.retired
}
