package container

import (
	"context"
	"sync"
)

// flights makes one piece of work of several wishes for the same key. The
// work goes on until it ends or nobody waits for it any more. Its zero value
// is ready.
type flights[T any] struct {
	mu  sync.Mutex
	now map[string]*flight[T]
}

type flight[T any] struct {
	cancel context.CancelFunc
	done   chan struct{}
	result T
	err    error

	mu       sync.Mutex
	watchers map[*func(any)]struct{}
}

// do carries work out, or joins the one under way for key. Whatever work
// tells reaches all who wait; told must not block.
func (f *flights[T]) do(ctx context.Context, key string, told func(any), work func(ctx context.Context, tell func(any)) (T, error)) (T, error) {
	own := &told
	f.mu.Lock()
	fl, found := f.now[key]
	if !found {
		workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight[T]{cancel: cancel, done: make(chan struct{}), watchers: map[*func(any)]struct{}{}}
		if f.now == nil {
			f.now = map[string]*flight[T]{}
		}
		f.now[key] = fl
		go func() {
			defer cancel()
			fl.result, fl.err = work(workCtx, fl.tell)
			f.forget(key, fl)
			close(fl.done)
		}()
	}
	fl.mu.Lock()
	fl.watchers[own] = struct{}{}
	fl.mu.Unlock()
	f.mu.Unlock()

	select {
	case <-fl.done:
		return fl.result, fl.err
	case <-ctx.Done():
	}
	if f.leave(key, fl, own) {
		<-fl.done // the work was cancelled, and does not outlive its last waiter
	}
	var none T
	return none, ctx.Err()
}

func (f *flights[T]) forget(key string, fl *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now[key] == fl {
		delete(f.now, key)
	}
}

// leave takes a waiter off and cancels the work when it was the last.
func (f *flights[T]) leave(key string, fl *flight[T], own *func(any)) (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.mu.Lock()
	delete(fl.watchers, own)
	last = len(fl.watchers) == 0
	fl.mu.Unlock()
	if last {
		if f.now[key] == fl {
			delete(f.now, key)
		}
		fl.cancel()
	}
	return last
}

func (fl *flight[T]) tell(what any) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for w := range fl.watchers {
		(*w)(what)
	}
}
