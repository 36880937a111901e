package client

import (
	"context"
	"errors"
	"time"

	"github.com/runnerml/runner/internal/server"
)

// The pause before a broken line is tried again doubles between these.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 2 * time.Second
)

// final is an error that trying again would not help.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// again calls try until it succeeds, fails for good, or the client's patience
// is over. It is the one place that tries again.
func (c *Client) again(ctx context.Context, try func(context.Context) error) error {
	line := c.newLine()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if err := line.broke(ctx, err); err != nil {
			return err
		}
	}
}

// line is one connection's fate: since when it has been broken, and how long
// to wait next.
type line struct {
	client *Client
	pause  time.Duration
	until  time.Time
}

func (c *Client) newLine() *line { return &line{client: c} }

// works forgets earlier breaks: something arrived.
func (l *line) works() { l.pause, l.until = 0, time.Time{} }

// broke waits and revives the other end after err. It returns an error when
// there is no point in going on.
func (l *line) broke(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f, ok := errors.AsType[*final](err); ok {
		return l.client.unreachable(f.error)
	}
	if p, ok := errors.AsType[*server.Problem](err); ok && (p.Code != server.Unavailable || p.Lasting) {
		return err
	}
	now := time.Now()
	switch {
	case l.until.IsZero():
		l.until = now.Add(l.client.Patience)
	case now.After(l.until):
		return l.client.unreachable(err)
	default:
		l.pause = min(max(2*l.pause, firstPause), lastPause)
	}
	if l.pause > 0 {
		timer := time.NewTimer(l.pause)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
	if l.client.Revive == nil {
		return nil
	}
	err = l.client.Revive(ctx)
	if _, ok := errors.AsType[*died](err); ok {
		return nil // the next try finds out
	}
	return err
}

// unreachable gives an error of the line its meaning.
func (c *Client) unreachable(err error) error {
	if _, ok := errors.AsType[*server.Problem](err); ok {
		return err
	}
	return &server.Problem{
		Code: server.Unavailable, Message: "cannot reach " + c.where + ": " + err.Error(),
		Hint: c.hint(),
	}
}

func (c *Client) hint() string {
	if c.Dial != nil {
		return "see agent.log in RUNNER_HOME, and runner agent status"
	}
	return "check RUNNER_SERVER, and that runner serve is running there"
}
