package controller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
)

const (
	// askAgain is how often a target is asked about all running attempts when
	// it tells of changes by itself: only to be sure.
	askAgain = 5 * time.Second
	// askOften is the same for a target that cannot tell.
	askOften = time.Second
	// retryDelay is the first pause after a step failed; it doubles up to
	// retryMost.
	retryDelay = 250 * time.Millisecond
	retryMost  = 30 * time.Second
	// retryStopping is the longest pause once somebody wished the run to stop.
	retryStopping = 2 * time.Second
	// environmentPatience is how long the making of an environment is tried
	// again for reasons that may pass (a registry or an index that does not
	// answer): somebody waits for it, and it is more often a wrong name.
	environmentPatience = time.Minute
	// cancelPatience is how long a canceled run still tries to bring home what
	// its attempt left, when that does not work.
	cancelPatience = 10 * time.Second
	// observeTimeout bounds one question to a target.
	observeTimeout = 60 * time.Second
)

// sighting is one answer of a target about an attempt. Err means that the
// target could not be asked.
type sighting struct {
	backends.Observation
	Err error
}

// observer asks a target about all running attempts in one question and hands
// each answer to whoever waits for it.
type observer struct {
	backend backends.Backend
	log     *slog.Logger

	mu      sync.Mutex
	waiting map[backends.Ref]chan sighting // keyed without handle
	handles map[backends.Ref]backends.Handle
	dirty   map[backends.Ref]bool
	all     bool
	wake    chan struct{} // capacity 1
}

func newObserver(b backends.Backend, log *slog.Logger) *observer {
	return &observer{
		backend: b, log: log,
		waiting: map[backends.Ref]chan sighting{}, handles: map[backends.Ref]backends.Handle{},
		dirty: map[backends.Ref]bool{}, wake: make(chan struct{}, 1),
	}
}

func key(ref backends.Ref) backends.Ref { return backends.Ref{Run: ref.Run, Number: ref.Number} }

// expect registers an attempt; its sightings arrive on the channel, the newest
// replacing one that was not read yet, until done is called.
func (o *observer) expect(ref backends.Ref) (sightings <-chan sighting, done func()) {
	ch := make(chan sighting, 1)
	o.mu.Lock()
	o.waiting[key(ref)] = ch
	o.handles[key(ref)] = ref.Handle
	o.dirty[key(ref)] = true
	o.mu.Unlock()
	o.poke()
	return ch, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.waiting[key(ref)] == ch {
			delete(o.waiting, key(ref))
			delete(o.handles, key(ref))
			delete(o.dirty, key(ref))
		}
	}
}

// changed is told by the target: a Ref with an empty Run means any attempt.
func (o *observer) changed(ref backends.Ref) {
	o.mu.Lock()
	if ref.Run == "" {
		o.all = true
	} else if _, ok := o.waiting[key(ref)]; ok {
		o.dirty[key(ref)] = true
	} else {
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	o.poke()
}

func (o *observer) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run asks until ctx ends.
func (o *observer) run(ctx context.Context) {
	every := askOften
	var group sync.WaitGroup
	defer group.Wait()
	if w, ok := o.backend.(backends.Watcher); ok {
		every = askAgain
		group.Go(func() { o.watch(ctx, w) })
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			o.mu.Lock()
			o.all = true
			o.mu.Unlock()
		case <-o.wake:
		}
		o.ask(ctx)
	}
}

// watch keeps the target's own notices coming, with backoff when they end.
func (o *observer) watch(ctx context.Context, w backends.Watcher) {
	pause, said := retryDelay, false
	for ctx.Err() == nil {
		began := time.Now()
		err := w.Watch(ctx, o.changed)
		if time.Since(began) > retryMost {
			pause, said = retryDelay, false
		}
		if err != nil && !said && ctx.Err() == nil {
			o.log.Warn("the target tells of no changes now; it is asked instead", "error", err)
			said = true
		}
		if sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, retryMost)
		o.changed(backends.Ref{})
	}
}

// ask puts one question about all that may have changed.
func (o *observer) ask(ctx context.Context) {
	refs := o.take()
	if len(refs) == 0 {
		return
	}
	qctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	answers, err := o.backend.Observe(qctx, refs)
	if ctx.Err() != nil {
		return
	}
	for i, ref := range refs {
		s := sighting{Err: err}
		if err == nil {
			s.Observation = answers[i]
		}
		o.deliver(ref, s)
	}
}

func (o *observer) take() []backends.Ref {
	o.mu.Lock()
	defer o.mu.Unlock()
	refs := make([]backends.Ref, 0, len(o.waiting))
	for ref := range o.waiting {
		if o.all || o.dirty[ref] {
			ref.Handle = o.handles[ref]
			refs = append(refs, ref)
		}
	}
	o.all = false
	clear(o.dirty)
	return refs
}

func (o *observer) deliver(ref backends.Ref, s sighting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ch, ok := o.waiting[key(ref)]
	if !ok {
		return
	}
	select {
	case <-ch: // an older one that nobody read
	default:
	}
	ch <- s
}

// sleepOr is sleep that a wish, ended meanwhile, cuts short.
func sleepOr(ctx, wish context.Context, d time.Duration) error {
	if wish.Err() != nil {
		return sleep(ctx, d)
	}
	short, cancel := context.WithTimeout(wish, d)
	defer cancel()
	<-short.Done()
	return ctx.Err()
}

// sleep waits, or returns ctx's error when it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
