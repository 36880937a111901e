package onhost

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

const (
	// aliveStep is how often whoever watches says that it is still there.
	aliveStep = 30 * time.Second
	// aliveLimit is how long a verb believes that without hearing it.
	aliveLimit = 4 * aliveStep
)

// mainWatch tells of changes of the supervised directories below RUNS, and of
// those that it is told to add, until nobody listens.
func mainWatch(ctx context.Context, args []string, in *listener, out *speaker) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: one directory is needed", errUsage)
	}
	if err := absolute(args...); err != nil {
		return err
	}
	w, err := supervise.NewWatcher()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	there, err := filepath.Glob(filepath.Join(escapeGlob(args[0]), "*", "attempts", "*", "sup"))
	if err != nil {
		return err
	}
	for _, dir := range there {
		_ = w.Add(dir) // gone meanwhile: there is nothing to see
	}
	if err := out.frame(markHello, nil); err != nil {
		return err
	}
	silence := time.AfterFunc(aliveLimit, func() { cancel(ErrCut) })
	defer silence.Stop()
	go func() {
		for {
			mark, payload, err := in.frame()
			if err != nil {
				cancel(ErrCut)
				return
			}
			silence.Reset(aliveLimit)
			switch mark {
			case markAdd:
				if w.Add(string(payload)) == nil {
					_ = out.frame(markChanged, payload) // it may have changed before; who is gone needs no word
				}
			case markRemove:
				w.Remove(string(payload))
			}
		}
	}()
	err = w.Run(ctx, func(dir string) {
		if out.frame(markChanged, []byte(dir)) != nil {
			cancel(ErrCut)
		}
	})
	if errors.Is(context.Cause(ctx), ErrCut) {
		return nil
	}
	return err
}

// escapeGlob takes the meaning from what Glob would read.
func escapeGlob(path string) string {
	var b []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, r)
	}
	return string(b)
}

// Watcher tells of changes of the supervised directories of a machine.
type Watcher struct {
	client *Client
	runs   string

	mu  sync.Mutex
	out *speaker
}

// NewWatcher watches what is below runs, the machine's directory of runs, as
// soon as it runs.
func (c *Client) NewWatcher(runs string) *Watcher { return &Watcher{client: c, runs: runs} }

// Add watches a directory that has come to be.
func (w *Watcher) Add(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return nil // it is found when the watching begins
	}
	return w.out.frame(markAdd, []byte(dir))
}

// Remove watches a directory no more.
func (w *Watcher) Remove(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out != nil {
		_ = w.out.frame(markRemove, []byte(dir)) // a broken line watches nothing
	}
}

// Run calls changed for each directory that may have changed, and with "" when
// it may be any: when it begins to watch, and when it does so again after the
// line broke. It returns when ctx ends, or when it can watch no more.
func (w *Watcher) Run(ctx context.Context, changed func(dir string)) error {
	for {
		err := w.once(ctx, changed)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !w.client.unreachable(err) {
			return err
		}
		again := time.NewTimer(watchPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
}

// watchPause is between two watches, besides the host's own pauses.
const watchPause = 200 * time.Millisecond

func (w *Watcher) once(ctx context.Context, changed func(dir string)) error {
	return w.client.talk(ctx, []string{"watch", w.runs}, func(in *listener, out *speaker) error {
		if _, err := in.expect(markHello); err != nil {
			return err
		}
		w.speak(out)
		defer w.speak(nil)
		changed("")
		ctx, cancel := context.WithCancel(ctx)
		var alive sync.WaitGroup
		defer alive.Wait()
		defer cancel()
		alive.Go(func() { keepAlive(ctx, out) })
		for {
			dir, err := in.expect(markChanged)
			if err != nil {
				return err
			}
			changed(string(dir))
		}
	})
}

func (w *Watcher) speak(out *speaker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = out
}

func keepAlive(ctx context.Context, out *speaker) {
	tick := time.NewTicker(aliveStep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if out.frame(markAlive, nil) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
