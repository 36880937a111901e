package sshhost

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/runnerml/runner/internal/host"
)

// Host is a machine reached over SSH.
type Host struct {
	cfg    Config
	dialer dialer
	// root is what the first greeting said.
	root string

	// life ends with Close.
	life context.Context
	end  context.CancelFunc
	// operations are under way; tasks are goroutines, which go when the
	// connection is closed.
	operations, tasks sync.WaitGroup

	mu     sync.Mutex
	closed bool
	// greeting is that of the newest connection, and judge who must agree to one.
	greeting Greeting
	judge    func(Greeting) error
	// conns are the connection, and more when the server gives too few sessions
	// on one.
	conns   []*conn
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
	conn *conn // nil when err is not
	err  error
}

// Open connects to a machine, logs in and makes Root there. It tries once,
// except where a server has too many logins under way: see UnreachableError,
// BusyError, AuthError, HostKeyError, KeyFileError, RefusedError and MuteError.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	cfg = cfg.withDefaults()
	hops, err := cfg.way(ctx)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, dialer: dialer{cfg: cfg, hops: hops, keys: newKeyring(), slots: newSlots()}}
	h.life, h.end = context.WithCancel(context.WithoutCancel(ctx))
	c, err := h.dialer.dialBusy(ctx, &h.tasks)
	if err == nil {
		err = h.welcome(ctx, c, true)
	}
	if err != nil {
		h.end()
		h.tasks.Wait()
		h.dialer.proxies.Wait()
		return nil, err
	}
	h.conns, h.root = []*conn{c}, h.greeting.Root
	return h, nil
}

// Root is the directory on the host under which everything of ours lies.
func (h *Host) Root() string { return h.root }

// Greeting is what the machine said at the newest login.
func (h *Host) Greeting() Greeting {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.greeting
}

// Judge has f see what the machine says at each login from now on. While it is
// against it, the machine counts as one that cannot be reached.
func (h *Host) Judge(f func(Greeting) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.judge = f
}

// Platform says what the host is: as it was when the newest connection was
// made, which no reboot outlives.
func (h *Host) Platform(ctx context.Context) (p host.Platform, err error) {
	err = h.do(ctx, true, nil, func(context.Context, *conn) error {
		p = h.Greeting().Platform
		return nil
	})
	return p, err
}

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
	conns := h.conns
	h.mu.Unlock()
	h.end()
	for _, c := range conns {
		c.kill(errClosed)
	}
	h.operations.Wait()
	h.tasks.Wait()
	h.dialer.proxies.Wait()
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

// do does one operation on a connection that is ready for it (nil: all are).
// When that breaks it is done again on another: if it may be repeated, or if
// it had not begun.
func (h *Host) do(ctx context.Context, repeat bool, ready func(*conn) bool, f func(context.Context, *conn) error) error {
	ctx, leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for {
		c, err := h.connection(ctx, ready)
		if err != nil {
			return err
		}
		err = f(ctx, c)
		var lost *LostError
		switch {
		case errors.Is(err, errFull):
			continue
		case !errors.As(err, &lost):
			h.fine(c)
			return err
		}
		h.lost(c, lost)
		if ctx.Err() != nil || !repeat && lost.Begun {
			return err
		}
	}
}

func readyForSession(c *conn) bool { return c.slots.free() }

func readyForFiles(c *conn) bool { return c.files.ready() || c.slots.free() }

// fine says that a connection served.
func (h *Host) fine(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.lives() {
		h.failures, h.since, h.trouble = 0, time.Time{}, nil
	}
}

// lost says that a connection broke.
func (h *Host) lost(c *conn, err *LostError) {
	if c.lives() {
		return // only a session of it broke
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.conns, c) {
		return // somebody said so before
	}
	h.prune()
	h.inTrouble(&LostError{Address: c.address, Err: err.Err}, c.heard()) // whatever it was that it cut off
	h.cfg.Log.Info("connection lost", "address", c.address, "error", err)
}

// prune forgets connections that are dead; the caller holds the lock.
func (h *Host) prune() {
	h.conns = slices.DeleteFunc(h.conns, func(c *conn) bool { return !c.lives() })
}

// inTrouble counts a failure; the caller holds the lock. The machine was heard
// of until since.
func (h *Host) inTrouble(err error, since time.Time) {
	h.failures++
	if len(h.conns) > 0 {
		return // there are others
	}
	if h.trouble == nil {
		h.since = since
	}
	h.trouble = err
}

// maxConns is how many connections there may be to one machine: more than one
// only where the server gives too few sessions on each.
const maxConns = 6

// connection is one that is ready, or one more that is made. When there is
// none, it is given up after Patience, or when waiting cannot help.
func (h *Host) connection(ctx context.Context, ready func(*conn) bool) (*conn, error) {
	patience := time.NewTimer(h.cfg.Patience)
	defer patience.Stop()
	for {
		change := h.dialer.slots.changed()
		h.mu.Lock()
		h.prune()
		none := len(h.conns) == 0
		for _, c := range h.conns {
			if ready == nil || ready(c) {
				h.mu.Unlock()
				return c, nil
			}
		}
		var dialed <-chan struct{}
		if h.dialing == nil && len(h.conns) < maxConns {
			h.dialing = &attempt{done: make(chan struct{})}
			a, pause := h.dialing, pauseAfter(h.failures, h.trouble)
			h.tasks.Go(func() { h.try(a, pause) })
		}
		a := h.dialing
		if a != nil {
			dialed = a.done
		}
		h.mu.Unlock()
		select {
		case <-dialed:
			if none && a.err != nil && !errors.Is(a.err, ErrUnreachable) {
				return nil, a.err
			}
		case <-change:
		case <-ctx.Done():
			return nil, h.why(context.Cause(ctx))
		case <-patience.C:
			if none {
				return nil, h.why(errImpatient)
			}
			patience.Reset(h.cfg.Patience) // there is one, it is only full
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
		a.conn, a.err = h.again()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dialing = nil
	switch {
	case a.err != nil:
		h.inTrouble(a.err, time.Now())
		h.cfg.Log.Debug("no connection", "address", h.Address(), "error", a.err)
	case h.closed:
		a.conn.kill(errClosed)
		a.conn, a.err = nil, errClosed
	default:
		h.prune()
		a.conn.extra.Store(len(h.conns) > 0)
		h.conns = append(h.conns, a.conn)
		h.cfg.Log.Info("connected again", "address", h.Address(), "connections", len(h.conns))
	}
}

// again logs in once more. What is against it is a state of the machine that
// may pass, like that it is away.
func (h *Host) again() (*conn, error) {
	c, err := h.dialer.dial(h.life, &h.tasks)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.prune()
	first := len(h.conns) == 0
	h.mu.Unlock()
	if err := h.welcome(h.life, c, first); err != nil {
		if !errors.Is(err, ErrUnreachable) {
			err = &UnreachableError{Address: h.Address(), Err: err}
		}
		return nil, err
	}
	return c, nil
}

const (
	shortestPause = 250 * time.Millisecond
	// silentPause is the longest pause before a machine is tried again that does
	// not answer: somebody may just have plugged it in. maxPause is the same for
	// one that answers and does not want us: it may bar those who knock often.
	silentPause = 8 * time.Second
	maxPause    = 30 * time.Second
)

// pauseAfter is how long to wait before the next try: longer each time, and
// never the same for all who wait for a machine.
func pauseAfter(failures int, trouble error) time.Duration {
	if failures <= 1 { // the line broke just now
		return rand.N(shortestPause / 5)
	}
	pause := maxPause
	if trouble == nil || errors.Is(trouble, ErrUnreachable) {
		pause = silentPause
	}
	if n := failures - 2; n < 7 {
		pause = min(pause, shortestPause<<n)
	}
	return pause/2 + rand.N(pause/2)
}
