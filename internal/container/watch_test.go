package container

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// watch follows home's changes until the test ends.
func watch(t testing.TB, e *Engine, home string) <-chan Mark {
	t.Helper()
	const room = 1000
	changes := make(chan Mark, room)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.Watch(ctx, home, func(m Mark) { changes <- m }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v, want that it was canceled", err)
		}
	})
	return changes
}

// expect waits until the mark is among the changes.
func expect(t testing.TB, changes <-chan Mark, want Mark) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case got := <-changes:
			if got == want {
				return
			}
			if got.Home != want.Home {
				t.Fatalf("told of %+v, which is another installation's", got)
			}
		case <-deadline:
			t.Fatalf("not told of %+v", want)
		}
	}
}

func TestWatchTellsOfChanges(t *testing.T) {
	b, other := newBench(t), newBench(t)
	changes := watch(t, b.Engine, b.home)
	expect(t, changes, Mark{Home: b.home}) // anything may have changed before
	other.run(t, other.spec("noise", "true"))
	s := b.spec("watched", "exit 3")
	id := b.run(t, s)
	expect(t, changes, s.Mark)
	b.await(t, s.Mark, Exited)
	if err := b.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	expect(t, changes, s.Mark)
}

// TestWatchTellsOfAnEndThatObserveShows: whoever asks when told, and not
// again, must learn of the end.
func TestWatchTellsOfAnEndThatObserveShows(t *testing.T) {
	b := newBench(t)
	changes := watch(t, b.Engine, b.home)
	expect(t, changes, Mark{Home: b.home})
	for n := range 10 {
		s := b.spec(fmt.Sprint("end", n), "true")
		b.run(t, s)
		for {
			expect(t, changes, s.Mark)
			if got, _ := b.observe(t, s.Mark); got.Phase == Exited {
				break
			}
		}
	}
}
