package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialer makes connections to one target.
type dialer struct {
	cfg  Config
	hops []hop
	keys *keyring
	// slots of all connections.
	slots *slots
	// proxies are the commands that connections go through, see proxy.
	proxies sync.WaitGroup
}

// dial goes all the way to the target.
func (d *dialer) dial(ctx context.Context, tasks *sync.WaitGroup) (*conn, error) {
	var clients []*ssh.Client
	var wires []*wire
	for _, h := range d.hops {
		client, w, err := d.step(ctx, h, clients)
		if err != nil {
			for _, w := range wires { // the first carries the others
				_ = w.Close() // already failing
			}
			return nil, err
		}
		clients, wires = append(clients, client), append(wires, w)
	}
	return newConn(d.hops[len(d.hops)-1].address(), clients, wires, d.cfg, d.slots, tasks), nil
}

// step logs in to one machine, through those before it.
func (d *dialer) step(ctx context.Context, h hop, before []*ssh.Client) (*ssh.Client, *wire, error) {
	client, w, err := d.tryKeys(ctx, h, before, nil)
	var key *HostKeyError
	if !errors.As(err, &key) || h.pin == "" && (h.seen == "" || !key.Seen) {
		return client, w, err
	}
	for _, family := range pinFamilies() {
		client, w, againErr := d.tryKeys(ctx, h, before, family)
		if againErr == nil {
			return client, w, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, err
}

// tryKeys tries again without a key that nobody can open, until none is left.
func (d *dialer) tryKeys(ctx context.Context, h hop, before []*ssh.Client, algorithms []string) (*ssh.Client, *wire, error) {
	for {
		client, w, err := d.try(ctx, h, before, algorithms)
		if !errors.Is(err, errWithout) {
			return client, w, err
		}
	}
}

func (d *dialer) try(ctx context.Context, h hop, before []*ssh.Client, algorithms []string) (*ssh.Client, *wire, error) {
	l := &login{hop: h, cfg: d.cfg, keys: d.keys, pause: func() func() { return func() {} }}
	check, err := h.known()
	if err != nil {
		return nil, nil, err
	}
	ids, done, err := l.identities(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	raw, err := d.connect(ctx, h, before)
	if err != nil {
		return nil, nil, err
	}
	w := newWire(raw)
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	defer stop()
	// The other side has DialTimeout to answer, whatever somebody takes who is asked.
	clock := time.AfterFunc(d.cfg.DialTimeout, func() { w.fail(errSilent) })
	defer clock.Stop()
	l.pause = func() func() {
		clock.Stop()
		return func() { clock.Reset(d.cfg.DialTimeout) }
	}
	if algorithms == nil {
		algorithms = l.algorithms(check)
	}
	cc, channels, requests, err := ssh.NewClientConn(w, h.nameOfKey(), &ssh.ClientConfig{
		User: h.user, Auth: l.methods(ctx, ids), HostKeyAlgorithms: algorithms, ClientVersion: "SSH-2.0-runner",
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			return l.checkHostKey(ctx, check, remote, key)
		},
	})
	if err != nil {
		_ = w.Close() // already failing
		if busy := w.busy(h); busy != nil {
			return nil, nil, busy
		}
		if cause := w.cause(); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		} else if said := w.foreign(); said != "" {
			err = fmt.Errorf("what listens there is no SSH server; it says %q", said)
		}
		if broken := w.err(); !errors.Is(broken, net.ErrClosed) { // by the other side, or the line
			l.lost = broken
		}
		return nil, nil, l.explain(ctx, err)
	}
	return ssh.NewClient(cc, channels, requests), w, nil
}

var errSilent = errors.New("the other side does not answer")

// connect opens the stream to a machine: directly, or from the one before it.
func (d *dialer) connect(ctx context.Context, h hop, before []*ssh.Client) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.DialTimeout, errSilent)
	defer cancel()
	var c net.Conn
	var err error
	switch {
	case len(before) > 0:
		c, err = before[len(before)-1].DialContext(ctx, "tcp", h.address())
	case h.command != "":
		c, err = startProxy(h.command, h.agent, &d.proxies)
	default:
		var dialer net.Dialer
		c, err = dialer.DialContext(ctx, "tcp", h.address())
	}
	if err == nil {
		return c, nil
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSilent) {
		return nil, fmt.Errorf("connect to %s: %w", h.address(), context.Cause(ctx))
	}
	return nil, &UnreachableError{Address: h.address(), Err: plainly(err)}
}

// plainly says why nobody answers in words for people.
func plainly(err error) error {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return fmt.Errorf("there is no host of this name: %w", errNoName)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: nothing listens there", syscall.ECONNREFUSED)
	}
	return err
}

var errNoName = errors.New("it is no name of the ssh configuration, and no name server knows it")

// wire is a stream that remembers that it broke, before anybody above it can
// take the end of the stream for the end of something good.
type wire struct {
	net.Conn
	// last is when something came last, in nanoseconds of Unix time.
	last atomic.Int64

	mu     sync.Mutex
	broken error
	killed error
	// greeting is the beginning of what was read.
	greeting []byte
}

// maxGreeting is how much of the beginning is kept, in bytes.
const maxGreeting = 512

// foreign is what a server said that is none of SSH; empty when it is one, or
// said nothing. Servers may say other lines first.
func (w *wire) foreign() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range bytes.Lines(w.greeting) {
		if bytes.HasPrefix(line, []byte("SSH-")) {
			return ""
		}
	}
	line, _, _ := bytes.Cut(w.greeting, []byte("\n"))
	return string(bytes.TrimSpace(line))
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	w.last.Store(time.Now().UnixNano())
	return w
}

// heard is when something came last from the other side.
func (w *wire) heard() time.Time { return time.Unix(0, w.last.Load()) }

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	if room := maxGreeting - len(w.greeting); room > 0 && n > 0 {
		w.greeting = append(w.greeting, p[:min(n, room)]...)
	}
	w.mu.Unlock()
	if n > 0 {
		w.last.Store(time.Now().UnixNano())
	}
	if err != nil {
		w.note(err)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil {
		w.note(err)
	}
	return n, err
}

func (w *wire) Close() error {
	w.note(net.ErrClosed)
	return w.Conn.Close()
}

// fail closes the stream and says why.
func (w *wire) fail(err error) {
	w.mu.Lock()
	if w.killed == nil && w.broken == nil {
		w.killed = err
	}
	w.mu.Unlock()
	_ = w.Close() // that is all we can do
}

func (w *wire) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = err
	}
}

// cause is why we ended it ourselves; nil when we did not.
func (w *wire) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed
}

// err is why the stream is no more; nil while it is.
func (w *wire) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killed != nil {
		return w.killed
	}
	return w.broken
}
