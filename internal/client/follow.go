package client

import (
	"context"
	"io"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"golang.org/x/sync/errgroup"
)

// Follow tells a whole run: its log goes to w, from the attempt, place and
// node that q chooses through all later attempts, and its story to each (which
// may be nil) at the same time. It returns the run as it ended, once all of
// the log has been written. Agents may come and go meanwhile.
func (c *Client) Follow(ctx context.Context, id string, q controller.LogQuery, w io.Writer, each func(controller.Notice) error) (*run.Run, error) {
	group, ctx := errgroup.WithContext(ctx)
	var ended *run.Run
	attempts := make(chan int, 1) // the newest attempt's number, when it grew
	group.Go(func() (err error) {
		defer close(attempts)
		newest := 0
		ended, err = c.Watch(ctx, id, 0, func(n controller.Notice) error {
			if number := attemptIn(n); number > newest {
				newest = number
				replace(attempts, newest)
			}
			if each == nil {
				return nil
			}
			return each(n)
		})
		return err
	})
	group.Go(func() error { return c.followAttempts(ctx, id, q, w, attempts) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return ended, nil
}

// attemptIn is the newest attempt that a notice tells of, zero for none.
func attemptIn(n controller.Notice) int {
	switch {
	case n.Run != nil:
		return len(n.Run.Attempts)
	case n.Event != nil:
		return n.Event.Attempt
	default:
		return 0
	}
}

// replace puts v into a channel of one place, instead of what is there. There
// is one sender.
func replace(c chan int, v int) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// followAttempts copies the logs of attempts as they come to be.
func (c *Client) followAttempts(ctx context.Context, id string, q controller.LogQuery, w io.Writer, attempts <-chan int) error {
	q.Follow = true
	next := q.Attempt
	for newest := range attempts {
		if next == 0 {
			next = newest // begin at the last one
		}
		for ; next <= newest; next++ {
			one := q
			one.Attempt = next
			if err := c.Logs(ctx, id, one, w); err != nil {
				return err
			}
			q.Tail, q.Offset = -1, 0 // later attempts from their beginning
		}
	}
	return nil
}
