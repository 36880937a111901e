package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/runnerml/runner/internal/host"
)

// Host is a machine reached over SSH.
type Host struct {
	cfg    Config
	dialer dialer
	root   string

	// life ends with Close.
	life context.Context
	end  context.CancelFunc
	// operations are under way; tasks are goroutines, which go when the
	// connection is closed.
	operations, tasks sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	cur     *conn
	dialing *attempt
	// failures are tries in a row that failed; they set the pause before the next.
	failures int
	// trouble is since when, and why, there is no connection.
	since   time.Time
	trouble error
}

var _ host.Host = (*Host)(nil)

// attempt is a try to connect that many wait for.
type attempt struct {
	done chan struct{}
	conn *conn
	err  error
}

// Open connects to a machine, logs in and makes Root there. It tries once: see
// UnreachableError, AuthError, HostKeyError, KeyFileError and RefusedError.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	cfg = cfg.withDefaults()
	hops, err := cfg.way()
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, dialer: dialer{cfg: cfg, hops: hops, keys: newKeyring()}}
	h.life, h.end = context.WithCancel(context.WithoutCancel(ctx))
	c, err := h.dialer.dial(ctx, &h.tasks)
	if err != nil {
		h.end()
		h.tasks.Wait()
		return nil, err
	}
	h.cur = c
	if err := h.findRoot(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// findRoot makes the root and finds its real path.
func (h *Host) findRoot(ctx context.Context) error {
	root, inHome := strings.CutPrefix(h.cfg.Root, "~/")
	where := host.Quote(root)
	if inHome || !path.IsAbs(root) {
		where = `"$HOME"/` + where
	}
	var out bytes.Buffer
	err := h.script(ctx, "make the root directory", "umask 077; mkdir -p -- "+where+" && cd -- "+where+" && pwd -P", nil, &out)
	if err != nil {
		return err
	}
	h.root = strings.TrimSuffix(out.String(), "\n")
	if !path.IsAbs(h.root) {
		return fmt.Errorf("make the root directory: the host says it is %q", h.root)
	}
	return nil
}

// Root is the directory on the host under which everything of ours lies.
func (h *Host) Root() string { return h.root }

// Address is HOST:PORT, and User the user there, as the configuration made them.
func (h *Host) Address() string { return h.dialer.hops[len(h.dialer.hops)-1].address() }

// User is who we are on the host.
func (h *Host) User() string { return h.dialer.hops[len(h.dialer.hops)-1].user }

// HostKey is the fingerprint of the machine's key ("SHA256:..."), to be given
// as Config.HostKey the next time; line is the same for a known_hosts file.
func (h *Host) HostKey() (fingerprint, line string) {
	key := h.dialer.keys.acceptedKey(h.Address())
	if key == nil {
		return "", ""
	}
	last := h.dialer.hops[len(h.dialer.hops)-1]
	return ssh.FingerprintSHA256(key), knownLine(last, key)
}

// Trouble says since when the host cannot be reached, and why; nil when the
// last try went well. It asks nobody.
func (h *Host) Trouble() (since time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.trouble
}

// Close ends the connection and what is under way, and returns when no
// goroutine of ours is left. What runs on the host goes on.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	c := h.cur
	h.mu.Unlock()
	h.end()
	if c != nil {
		c.kill(errClosed)
	}
	h.operations.Wait()
	h.tasks.Wait()
	return nil
}

// enter begins an operation; leave ends it. Its context ends with ours.
func (h *Host) enter(ctx context.Context) (context.Context, func(), error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, errClosed
	}
	h.operations.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.life, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil); h.operations.Done() }, nil
}

// do does one operation on a connection. When that breaks it is done again on
// a new one: if it may be repeated, or if it had not begun.
func (h *Host) do(ctx context.Context, repeat bool, f func(context.Context, *conn) error) error {
	ctx, leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for {
		c, err := h.connection(ctx)
		if err != nil {
			return err
		}
		err = f(ctx, c)
		var lost *LostError
		if !errors.As(err, &lost) {
			h.fine(c)
			return err
		}
		h.lost(c, lost)
		if ctx.Err() != nil || !repeat && lost.Begun {
			return err
		}
	}
}

// fine says that a connection served.
func (h *Host) fine(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cur == c && c.lives() {
		h.failures, h.since, h.trouble = 0, time.Time{}, nil
	}
}

// lost says that a connection broke.
func (h *Host) lost(c *conn, err error) {
	if c.lives() {
		return // only a session of it broke
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cur != c {
		return
	}
	h.cur = nil
	h.inTrouble(err)
	h.cfg.Log.Info("connection lost", "address", c.address, "error", err)
}

// inTrouble counts a failure; the caller holds the lock.
func (h *Host) inTrouble(err error) {
	if h.trouble == nil {
		h.since = time.Now()
	}
	h.trouble = err
	h.failures++
}

// connection is the one there is, or one that is made. It is given up when it
// takes longer than Patience, or cannot be helped by waiting.
func (h *Host) connection(ctx context.Context) (*conn, error) {
	patience := time.NewTimer(h.cfg.Patience)
	defer patience.Stop()
	for {
		h.mu.Lock()
		if c := h.cur; c != nil && c.lives() {
			h.mu.Unlock()
			return c, nil
		}
		if h.dialing == nil {
			h.dialing = &attempt{done: make(chan struct{})}
			a, pause := h.dialing, pauseAfter(h.failures)
			h.tasks.Go(func() { h.try(a, pause) })
		}
		a := h.dialing
		h.mu.Unlock()
		select {
		case <-a.done:
			if a.err == nil {
				return a.conn, nil
			}
			if !errors.Is(a.err, ErrUnreachable) {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, h.why(context.Cause(ctx))
		case <-patience.C:
			return nil, h.why(errImpatient)
		}
	}
}

// errImpatient is an operation that waited long enough for a connection.
var errImpatient = errors.New("no connection could be made in time")

// why adds to the end of a wait what is in the way.
func (h *Host) why(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trouble == nil {
		return err
	}
	if errors.Is(err, errImpatient) {
		return h.trouble
	}
	return fmt.Errorf("%w (since %s: %w)", err, h.since.Format(time.TimeOnly), h.trouble)
}

// try connects once, after a pause.
func (h *Host) try(a *attempt, pause time.Duration) {
	defer close(a.done)
	a.err = wait(h.life, pause)
	if a.err == nil {
		a.conn, a.err = h.dialer.dial(h.life, &h.tasks)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dialing = nil
	switch {
	case a.err != nil:
		h.inTrouble(a.err)
		h.cfg.Log.Debug("no connection", "address", h.Address(), "error", a.err)
	case h.closed:
		a.conn.kill(errClosed)
		a.conn, a.err = nil, errClosed
	default:
		h.cur = a.conn
		h.cfg.Log.Info("connected again", "address", h.Address())
	}
}

const (
	shortestPause = 250 * time.Millisecond
	maxPause      = 30 * time.Second
)

// pauseAfter is how long to wait before the next try: longer each time, and
// never the same for all who wait for a machine.
func pauseAfter(failures int) time.Duration {
	if failures <= 1 { // the line broke just now
		return rand.N(shortestPause / 5)
	}
	pause := maxPause
	if n := failures - 2; n < 7 {
		pause = shortestPause << n
	}
	return pause/2 + rand.N(pause/2)
}
