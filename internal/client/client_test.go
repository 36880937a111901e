package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/server/servertest"
	"github.com/runnerml/runner/runconfig"
)

func submission(id, command string) controller.Submission {
	return controller.Submission{
		RequestID: id, Snapshot: "sha256:" + strings.Repeat("0", 64), Environment: &environment.Resolved{},
		Config: &runconfig.ScriptRunConfig{Experiment: "demo", Command: command, ComputeTarget: "local"},
	}
}

func dialing(t *testing.T, h server.Home) *client.Client {
	c := client.New(client.Options{Dial: h.Dial, Patience: 30 * time.Second})
	t.Cleanup(c.Close)
	return c
}

func TestSubmitWhoseAnswerWasLost(t *testing.T) {
	service := servertest.New(t)
	a := servertest.Serve(t, service, nil)
	// The first answer is cut off after the server has done its work.
	var cut atomic.Bool
	dial := func(ctx context.Context) (net.Conn, error) {
		conn, err := a.Home.Dial(ctx)
		if err == nil && cut.CompareAndSwap(false, true) {
			return &deafConn{Conn: conn}, nil
		}
		return conn, err
	}
	c := client.New(client.Options{Dial: dial})
	defer c.Close()
	r, err := c.Submit(t.Context(), submission("one", "true"))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := c.List(t.Context(), controller.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 1 || runs[0].ID != r.ID || service.Submitted != 2 {
		t.Errorf("%d runs of %d submissions, want 1 of 2", len(runs), service.Submitted)
	}
}

// deafConn waits for the answer and then loses it.
type deafConn struct{ net.Conn }

func (d *deafConn) Read(p []byte) (int, error) {
	if _, err := d.Conn.Read(p); err != nil {
		return 0, err
	}
	return 0, io.ErrUnexpectedEOF
}

func TestProblemsArrive(t *testing.T) {
	c := dialing(t, servertest.Serve(t, servertest.New(t), nil).Home)
	_, err := c.Run(t.Context(), "nothing")
	p, ok := errors.AsType[*server.Problem](err)
	if !ok || p.Code != server.NotFound || p.Hint == "" {
		t.Errorf("got %#v", err)
	}
}

func TestOddNamesArrive(t *testing.T) {
	c := dialing(t, servertest.Serve(t, servertest.New(t), nil).Home)
	for _, name := range []string{"a/b", "a b", "ü?#%", "..", ".", "", "sha256:ab"} {
		_, err := c.Environment(t.Context(), name)
		p, ok := errors.AsType[*server.Problem](err)
		if !ok || p.Code != server.NotFound || p.Where != "" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Options{Base: "http://" + address, Patience: 50 * time.Millisecond})
	defer c.Close()
	_, err = c.List(t.Context(), controller.Filter{})
	p, ok := errors.AsType[*server.Problem](err)
	if !ok || p.Code.Exit() != 3 || !strings.Contains(p.Message, "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestServerThatIsNotOurs(t *testing.T) {
	for name, status := range map[string]int{"not found": 404, "gateway": 502} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "<html>", status)
			}))
			defer s.Close()
			c := client.New(client.Options{Base: s.URL, Patience: 20 * time.Millisecond})
			defer c.Close()
			_, err := c.Run(t.Context(), "x")
			p, ok := errors.AsType[*server.Problem](err)
			if !ok || p.Hint != "check RUNNER_SERVER" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestToken(t *testing.T) {
	s := server.New(server.Options{Service: servertest.New(t)})
	h := httptest.NewServer(server.WithToken([]byte("0123456789abcdef"), s))
	defer h.Close()
	for token, exit := range map[string]int{"0123456789abcdef": 0, "wrong": 3, "": 3} {
		c := client.New(client.Options{Base: h.URL, Token: token})
		_, err := c.List(t.Context(), controller.Filter{})
		got := 0
		if err != nil {
			got = server.ProblemOf(err).Code.Exit()
		}
		if got != exit {
			t.Errorf("token %q: %v", token, err)
		}
		c.Close()
	}
}
