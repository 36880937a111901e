package controller

import "sync"

// liveBoard holds what is true of runs only at this moment and is not worth
// storing: how far a preparation is, that a target does not answer.
type liveBoard struct {
	mu       sync.Mutex
	progress map[string]Progress
	remarks  map[string]string
	watchers map[string]map[chan struct{}]struct{}
}

func newLiveBoard() *liveBoard {
	return &liveBoard{
		progress: map[string]Progress{}, remarks: map[string]string{},
		watchers: map[string]map[chan struct{}]struct{}{},
	}
}

func (b *liveBoard) setProgress(id string, p Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress[id] = p
	b.tell(id)
}

// dropProgress takes back how far something is that is over.
func (b *liveBoard) dropProgress(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.progress, id)
	b.tell(id)
}

// setRemark replaces what is said of a run now; an empty text removes it.
func (b *liveBoard) setRemark(id, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.remarks[id] == text {
		return
	}
	if text == "" {
		delete(b.remarks, id)
	} else {
		b.remarks[id] = text
	}
	b.tell(id)
}

func (b *liveBoard) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.progress, id)
	delete(b.remarks, id)
	b.tell(id)
}

// tell wakes the watchers of a run; b.mu is held.
func (b *liveBoard) tell(id string) {
	for ch := range b.watchers[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (b *liveBoard) progressOf(id string) (Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.progress[id]
	return p, ok
}

func (b *liveBoard) remarkOf(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remarks[id]
}

// watch gives a channel that is poked at each change, and a way to end it.
func (b *liveBoard) watch(id string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers[id] == nil {
		b.watchers[id] = map[chan struct{}]struct{}{}
	}
	b.watchers[id][ch] = struct{}{}
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers[id], ch)
		if len(b.watchers[id]) == 0 {
			delete(b.watchers, id)
		}
	}
}
