package container

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/runnerml/runner/internal/host"
)

// deaf is a host whose connection to the engine breaks once, after the engine
// has carried the request out and before its answer is read.
type deaf struct {
	host.Host
	request string // the request line's part that tells which
	broken  atomic.Bool
}

func (d *deaf) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Host.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: conn, host: d}, nil
}

type deafConn struct {
	net.Conn
	host   *deaf
	listen atomic.Bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	line, _, _ := bytes.Cut(p, []byte("\n"))
	if bytes.Contains(line, []byte(c.host.request)) && c.host.broken.CompareAndSwap(false, true) {
		c.listen.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.listen.Load() { // the request may have been written while we waited
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestALostAnswerMakesNoSecondContainer(t *testing.T) {
	for name, request := range map[string]string{"create": "/containers/create", "start": "/start"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			d := &deaf{Host: b.host, request: request}
			e, err := Open(t.Context(), d, Options{Socket: b.Socket()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close() }()
			s := b.spec(name, "echo once >>/work/ran")
			s.Binds = []Bind{{Source: b.dir, Target: "/work"}}
			if _, err := e.Run(t.Context(), s); KindOf(err) != Unreachable || !d.broken.Load() {
				t.Fatalf("error %v of kind %q, want %q", err, KindOf(err), Unreachable)
			}
			id, err := e.Run(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.await(t, s.Mark, Exited); got.ID != id {
				t.Errorf("two containers: %s, %s", id, got.ID)
			}
			f, err := b.host.Open(t.Context(), b.dir+"/ran")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if got, err := io.ReadAll(f); string(got) != "once\n" {
				t.Errorf("it ran %q, %v; want once", got, err)
			}
		})
	}
}
