package controller

import (
	"sync"
	"time"
)

// absence is why a target is not there, and since when: over restarts of the
// agent, or a machine that is gone for ever would never be given up where agents
// come and go.
type absence struct {
	wake  chan struct{} // capacity 1: try now
	clock func() time.Time

	mu sync.Mutex
	// since when it is not reached, perhaps since before there was this agent;
	// zero: not known to be.
	since time.Time
	// tried is when this agent tried in vain first; zero: not yet.
	tried time.Time
	err   error
	// making is what opening it is at; empty: it is not that far.
	making string
	// stored: the store knows since when.
	stored bool
}

func (c *Controller) newAbsence() *absence {
	return &absence{wake: make(chan struct{}, 1), clock: c.now}
}

// words say since when it is not reached, and why.
func (a *absence) words() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.making != "":
		return "the target is being made ready: " + a.making
	case a.since.IsZero():
		return "the target is being reached"
	case a.err == nil:
		return unreachableWords(a.since, a.clock(), "")
	}
	return unreachableWords(a.since, a.clock(), a.err.Error())
}

// recall takes up what an earlier agent stored.
func (a *absence) recall(since time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	// From here on what counts is the monotonic clock, which stands still while
	// this computer sleeps: nothing is given up because a laptop was closed.
	a.since, a.stored = now.Add(-max(0, now.Round(0).Sub(since))), true
}

// note keeps why a try failed, and says since when they do.
func (a *absence) note(err error) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	if a.since.IsZero() {
		a.since = now
	}
	if a.tried.IsZero() {
		a.tried = now
	}
	a.err, a.making = err, ""
	return a.since
}

// opens says what opening the target is at, which has answered.
func (a *absence) opens(making string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.making = making
}

// met forgets the absence: somebody else has just reached the target.
func (a *absence) met() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since, a.tried, a.err, a.stored = time.Time{}, time.Time{}, nil, false
}

// failed reports whether this agent has tried in vain yet.
func (a *absence) failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.tried.IsZero()
}

// firstTries is how long an agent tries itself before it gives up what earlier
// ones could not reach either: this computer may just have woken up, and its
// network not yet.
const firstTries = 5 * time.Minute

// givesUp reports whether the absence has lasted for the limit.
func (a *absence) givesUp(limit time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	return !a.tried.IsZero() && now.Sub(a.since) >= limit && now.Sub(a.tried) >= min(limit/10, firstTries)
}

func (a *absence) isStored() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stored
}

func (a *absence) setStored() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored = true
}

func (a *absence) now() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}
