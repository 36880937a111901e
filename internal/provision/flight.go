package provision

import (
	"context"
	"errors"
	"sync"

	"github.com/runnerml/runner/backends"
)

// errLeft ends a build's follower because we end, not because nobody wants the
// build any more.
var errLeft = errors.New("the agent ends")

// flights lets several who want the same build share it. Each hears all that
// is told; the work is canceled when the last of them has left.
type flights struct {
	mu      sync.Mutex
	closed  bool
	flying  map[string]*flight
	running sync.WaitGroup
}

type flight struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error

	mu        sync.Mutex
	listeners map[*listener]struct{}
	// before is what was told so far, for those who come later: the last
	// progress and the last of the output.
	last *backends.Step
	tail []byte
	gone bool
}

// listener is one who waits for a build.
type listener struct {
	progress backends.Progress
	output   func([]byte)
}

// tailSize is how much of a build's output whoever joins late still hears.
const tailSize = 64 << 10

// do runs work, or joins it while it runs under the same key.
func (f *flights) do(ctx context.Context, key string, l *listener, work func(ctx context.Context, tell *flight) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		one, err := f.join(ctx, key, l, work)
		if err != nil {
			return err
		}
		if one == nil { // it was being given up just then
			continue
		}
		select {
		case <-one.done:
			return one.err
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), backends.ErrAgentEnds) { // else close lets go of the build
				one.leave(l)
			}
			return ctx.Err()
		}
	}
}

func (f *flights) join(ctx context.Context, key string, l *listener, work func(context.Context, *flight) error) (*flight, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, errLeft
	}
	if one := f.flying[key]; one != nil {
		f.mu.Unlock()
		if one.enter(l) {
			return one, nil
		}
		select { // its build is being stopped; then it is begun anew
		case <-one.done:
		case <-ctx.Done():
		}
		return nil, nil //nolint:nilnil // try again
	}
	defer f.mu.Unlock()
	workCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	one := &flight{cancel: cancel, done: make(chan struct{}), listeners: map[*listener]struct{}{l: {}}}
	if f.flying == nil {
		f.flying = map[string]*flight{}
	}
	f.flying[key] = one
	f.running.Go(func() {
		err := work(workCtx, one)
		cancel(nil)
		f.mu.Lock()
		delete(f.flying, key)
		f.mu.Unlock()
		one.err = err
		close(one.done)
	})
	return one, nil
}

// busy reports whether something is made under key now.
func (f *flights) busy(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flying[key] != nil
}

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	for _, one := range f.flying {
		one.cancel(errLeft)
	}
	f.mu.Unlock()
	f.running.Wait()
}

// enter joins; false when the build is being given up.
func (o *flight) enter(l *listener) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return false
	}
	o.listeners[l] = struct{}{}
	if o.last != nil {
		l.progress.Report(*o.last)
	}
	if len(o.tail) > 0 {
		l.output(o.tail)
	}
	return true
}

// leave stops listening; the last one to leave cancels the work.
func (o *flight) leave(l *listener) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.listeners, l)
	if len(o.listeners) == 0 {
		o.gone = true
		o.cancel(context.Canceled)
	}
}

func (o *flight) step(s backends.Step) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = &s
	for l := range o.listeners {
		l.progress.Report(s)
	}
}

// Write tells output to all who listen.
func (o *flight) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p...)
	if over := len(o.tail) - tailSize; over > 0 {
		o.tail = append([]byte(nil), o.tail[over:]...)
	}
	for l := range o.listeners {
		l.output(p)
	}
	return len(p), nil
}
