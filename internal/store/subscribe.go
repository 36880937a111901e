package store

import (
	"sync"

	"github.com/runnerml/runner/internal/run"
)

// Change tells that a run changed. Several changes of one run that nobody
// took yet become one, the newest.
type Change struct {
	RunID string
	// Seq of the run's last event.
	Seq int
	// State of the run.
	State run.State
	// Deleted: the run is gone.
	Deleted bool
}

// Subscribe returns a channel of the changes of one run, or of all with id
// "", committed after the call. Look at the run after subscribing, not before.
// However slow the reader, the writer never waits and no run's newest change
// is lost. cancel ends it and closes the channel; it may be called twice.
// Close ends all subscriptions.
func (s *Store) Subscribe(id string) (changes <-chan Change, cancel func()) {
	return s.feed.subscribe(id)
}

// feed hands changes to subscribers.
type feed struct {
	mu     sync.Mutex
	byRun  map[string]map[*subscriber]struct{} // "": those of all runs
	closed bool
	wait   sync.WaitGroup
}

func newFeed() *feed { return &feed{byRun: map[string]map[*subscriber]struct{}{}} }

// subscriber has the changes that its reader did not take yet, in the order
// in which the runs first changed.
type subscriber struct {
	out  chan Change
	wake chan struct{} // capacity 1
	quit chan struct{}

	mu      sync.Mutex
	order   []string
	pending map[string]Change
}

func (f *feed) subscribe(id string) (<-chan Change, func()) {
	sub := &subscriber{
		out: make(chan Change), wake: make(chan struct{}, 1), quit: make(chan struct{}),
		pending: map[string]Change{},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(sub.out)
		return sub.out, func() {}
	}
	if f.byRun[id] == nil {
		f.byRun[id] = map[*subscriber]struct{}{}
	}
	f.byRun[id][sub] = struct{}{}
	f.wait.Go(sub.loop)
	return sub.out, func() { f.cancel(id, sub) }
}

func (f *feed) cancel(id string, sub *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.byRun[id][sub]; !there {
		return
	}
	delete(f.byRun[id], sub)
	if len(f.byRun[id]) == 0 {
		delete(f.byRun, id)
	}
	close(sub.quit)
}

func (f *feed) publish(news []Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range news {
		for sub := range f.byRun[c.RunID] {
			sub.put(c)
		}
		for sub := range f.byRun[""] {
			sub.put(c)
		}
	}
}

func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	for _, subs := range f.byRun {
		for sub := range subs {
			close(sub.quit)
		}
	}
	clear(f.byRun)
	f.mu.Unlock()
	f.wait.Wait()
}

func (s *subscriber) put(c Change) {
	s.mu.Lock()
	if _, there := s.pending[c.RunID]; !there {
		s.order = append(s.order, c.RunID)
	}
	s.pending[c.RunID] = c
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the first pending change.
func (s *subscriber) take() (Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return Change{}, false
	}
	c := s.pending[s.order[0]]
	delete(s.pending, s.order[0])
	s.order = s.order[1:]
	return c, true
}

func (s *subscriber) loop() {
	defer close(s.out)
	for {
		c, ok := s.take()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-s.quit:
				return
			}
		}
		select {
		case s.out <- c:
		case <-s.quit:
			return
		}
	}
}
