package client_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server/servertest"
)

// shortConn breaks after so many bytes; one that stalls says nothing of it.
type shortConn struct {
	net.Conn
	left   atomic.Int64
	stalls bool
	closed chan struct{}
	once   sync.Once
}

func (s *shortConn) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func (s *shortConn) Read(p []byte) (int, error) {
	left := s.left.Load()
	if left <= 0 {
		if s.stalls {
			<-s.closed
		}
		return 0, net.ErrClosed
	}
	n, err := s.Conn.Read(p[:min(int64(len(p)), left)])
	s.left.Add(-int64(n))
	return n, err
}

// A file over lines that break comes whole, and no byte of it comes twice.
func TestOutputOverBrokenLines(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), 30_000)
	from := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(from, content, 0o600); err != nil {
		t.Fatal(err)
	}
	service := servertest.New(t)
	a := servertest.Serve(t, service, nil)
	submitting := dialing(t, a.Home)
	r, err := submitting.Submit(t.Context(), submission("one", "mkdir -p outputs && cp '"+from+"' outputs/model"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := submitting.Follow(t.Context(), r.ID, controller.LogQuery{}, io.Discard, func(controller.Notice) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for name, how := range map[string]struct {
		offset int64
		stalls bool
	}{
		"from its beginning":                     {},
		"from the middle":                        {offset: 500_000},
		"from its end":                           {offset: int64(len(content))},
		"over lines of which nobody hears again": {stalls: true},
	} {
		offset := how.offset
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int64
			c := client.New(client.Options{Stall: 100 * time.Millisecond, Dial: func(ctx context.Context) (net.Conn, error) {
				conn, err := a.Home.Dial(ctx)
				if err != nil {
					return nil, err
				}
				short := &shortConn{Conn: conn, stalls: how.stalls, closed: make(chan struct{})}
				short.left.Store(100_000 + 7_001*dials.Add(1))
				return short, nil
			}})
			defer c.Close()
			body, err := c.OpenOutput(t.Context(), r.ID, 0, "outputs/model", offset)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, content[offset:]) {
				t.Errorf("%d bytes of %d, %v", len(got), len(content)-int(offset), err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
			if n := dials.Load(); offset == 0 && n < 4 {
				t.Errorf("the line broke %d times: too few to show anything", n-1)
			}
		})
	}
}
