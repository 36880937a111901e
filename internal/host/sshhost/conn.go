package sshhost

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// conn is a connection to the target that was made. It is used until it
// breaks, and never mended.
type conn struct {
	address string
	client  *ssh.Client
	// wires are the streams below, that of the nearest machine first.
	wires []*wire
	slots connSlots
	// extra: it is one more, made because another was full.
	extra atomic.Bool
	files fileSession
	// ahead is a command that was started and that nobody runs yet.
	ahead atomic.Pointer[ahead]
	log   *slog.Logger
	// tasks are all goroutines; whoever closes the Host waits for them.
	tasks *sync.WaitGroup
	// dead is closed when it is of no more use.
	dead chan struct{}
}

func newConn(address string, clients []*ssh.Client, wires []*wire, cfg Config, all *slots, tasks *sync.WaitGroup) *conn {
	c := &conn{
		address: address, client: clients[len(clients)-1], wires: wires,
		slots: connSlots{all: all}, log: cfg.Log, tasks: tasks, dead: make(chan struct{}),
	}
	tasks.Go(func() {
		_ = c.client.Wait() // the wire knows why
		c.kill(nil)
		close(c.dead)
	})
	for _, before := range clients[:len(clients)-1] {
		tasks.Go(func() { _ = before.Wait() }) // it goes with its wire
	}
	tasks.Go(func() { c.keepAlive(cfg.KeepAlive) })
	return c
}

// kill ends the connection; err says why, nil when that is known already.
func (c *conn) kill(err error) {
	last := c.wires[len(c.wires)-1]
	if err != nil {
		last.mu.Lock()
		if last.killed == nil && last.broken == nil {
			last.killed = err
		}
		last.mu.Unlock()
	}
	for _, w := range c.wires { // the first carries the others, and a write to it may hang
		_ = w.Close() // that is all we can do
	}
}

func (c *conn) lives() bool {
	select {
	case <-c.dead:
		return false
	default:
		return c.wires[len(c.wires)-1].err() == nil
	}
}

// lost is the error of an operation that the connection's end cut off.
func (c *conn) lost(begun bool, err error) error {
	if cause := c.wires[len(c.wires)-1].err(); cause != nil {
		err = cause
	}
	if err == nil {
		err = errors.New("it ended")
	}
	return &LostError{Address: c.address, Begun: begun, Err: err}
}

// errIdle is a connection more than is needed.
var errIdle = errors.New("it was idle")

// keepAlive asks the other side whether it lives, and ends the connection when
// nothing comes from there any more. An answer may be long behind what a slow
// line still has to carry, so anything that comes will do.
func (c *conn) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.dead:
			return
		}
		if c.extra.Load() && c.slots.retire() {
			c.kill(errIdle)
			return
		}
		answer := make(chan struct{})
		c.tasks.Go(func() {
			defer close(answer)
			_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil) // any answer will do
		})
		if !c.hears(answer, lostAfter*every) {
			c.kill(errSilent)
		}
	}
}

// hears waits for an answer, as long as anything comes: false when nothing did
// for so long.
func (c *conn) hears(answer <-chan struct{}, patience time.Duration) bool {
	asked := time.Now()
	for {
		last := c.heard()
		if last.Before(asked) {
			last = asked
		}
		left := time.Until(last.Add(patience))
		if left <= 0 {
			return false
		}
		timer := time.NewTimer(left)
		select {
		case <-answer:
		case <-c.dead:
		case <-timer.C:
			continue
		}
		timer.Stop()
		return true
	}
}

// heard is when something came last from the machine.
func (c *conn) heard() time.Time { return c.wires[len(c.wires)-1].heard() }

// open opens a channel. When ctx ends first, a channel that comes later is
// closed; late is called when that is settled.
func (c *conn) open(ctx context.Context, kind string, payload []byte, late func()) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	got := make(chan opened, 1)
	c.tasks.Go(func() {
		ch, reqs, err := c.client.OpenChannel(kind, payload)
		got <- opened{ch, reqs, err}
	})
	select {
	case o := <-got:
		return o.ch, o.reqs, o.err
	case <-ctx.Done():
		c.tasks.Go(func() {
			defer late()
			if o := <-got; o.err == nil {
				_ = o.ch.Close() // nobody wants it
				ssh.DiscardRequests(o.reqs)
			}
		})
		return nil, nil, errLate
	}
}

// errLate is a channel that did not come in time.
var errLate = errors.New("too late")

const (
	// beforeLearning is how often a session must be refused before we take it
	// for the server's limit: one that we just closed may still count there.
	beforeLearning = 3
	// beforeGivingUp is the same when no other session of ours is open.
	beforeGivingUp = 9
	firstPause     = 10 * time.Millisecond
	longestPause   = time.Second
)

// session opens one, when there may be one more: else errFull. It must be closed.
func (c *conn) session(ctx context.Context) (*session, error) {
	if err := c.slots.take(); err != nil {
		return nil, err
	}
	pause := firstPause
	for refusals := 1; ; refusals++ {
		ch, reqs, err := c.open(ctx, "session", nil, c.slots.give)
		if err == nil {
			return newSession(c, ch, reqs), nil
		}
		if errors.Is(err, errLate) { // the slot is given back later
			return nil, context.Cause(ctx)
		}
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			c.slots.give()
			return nil, c.lost(false, err)
		}
		if refusals >= beforeLearning {
			switch others := c.slots.refused(); {
			case others > 0:
				c.log.Debug("the server gives no more sessions on a connection", "address", c.address, "limit", others)
				c.slots.give()
				if c.slots.all.few() {
					c.files.drop()
				}
				return nil, errFull
			case refusals >= beforeGivingUp:
				c.slots.give()
				return nil, &RefusedError{Address: c.address, Err: err}
			}
		}
		if err := wait(ctx, pause); err != nil {
			c.slots.give()
			return nil, err
		}
		pause = min(2*pause, longestPause)
	}
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
