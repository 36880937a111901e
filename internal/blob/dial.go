package blob

import (
	"context"
	"net"
	"time"
)

// near is how long a store may take to answer that is near.
const near = 5 * time.Millisecond

// dial connects to a store. What the kernel holds for us of a download is lost
// when we are killed, and it may hold much where we are slower than the store.
// From one that is near it need not: what it holds of all connections is half a
// block at most. From far away, what is on the line is as much as it takes.
func (o Options) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok && isNear(tcp, near) {
		// The kernel takes twice of what it is told, for its own needs too.
		_ = tcp.SetReadBuffer(int(o.BlockSize / int64(4*o.Connections))) // it holds more without
	}
	return c, nil
}
