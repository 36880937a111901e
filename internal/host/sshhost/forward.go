package sshhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial opens a connection from the host to a TCP address or a Unix socket
// there. A deadline that passes ends the connection.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var opened net.Conn
	err := h.do(ctx, true, nil, func(ctx context.Context, c *conn) error {
		inner, err := c.client.DialContext(ctx, network, address)
		if err == nil {
			opened = &forwarded{Conn: inner}
			return nil
		}
		var refused *ssh.OpenChannelError
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("dial %s %s from the host: %w", network, address, context.Cause(ctx))
		case !c.lives():
			return c.lost(false, err)
		case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
			return fmt.Errorf("dial %s %s from the host: its sshd allows no forwarding (AllowTcpForwarding, AllowStreamLocalForwarding): %w", network, address, err)
		}
		return fmt.Errorf("dial %s %s from the host: %w", network, address, err)
	})
	return opened, err
}

// forwarded is a connection through ours. Such channels have no deadlines of
// their own: one that passes closes it.
type forwarded struct {
	net.Conn

	mu    sync.Mutex
	timer *time.Timer
}

func (f *forwarded) SetDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	if !t.IsZero() {
		f.timer = time.AfterFunc(time.Until(t), func() { _ = f.Conn.Close() }) // that is the aim
	}
	return nil
}

func (f *forwarded) SetReadDeadline(t time.Time) error { return f.SetDeadline(t) }

func (f *forwarded) SetWriteDeadline(t time.Time) error { return f.SetDeadline(t) }

// CloseWrite tells the other end that no more comes.
func (f *forwarded) CloseWrite() error {
	if half, ok := f.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (f *forwarded) Close() error {
	return errors.Join(f.SetDeadline(time.Time{}), f.Conn.Close())
}
