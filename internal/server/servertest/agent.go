package servertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/server"
)

// Agent serves a Service on the socket of a home, and can be ended and begun
// again while the Service lives on: to a client that is an agent that died and
// was started anew.
type Agent struct {
	t      testing.TB
	Home   server.Home
	Server func() *server.Server
	stop   context.CancelFunc
	ended  chan error
}

// Serve begins an Agent for s in a new home.
func Serve(t testing.TB, s server.Service, snapshots server.Snapshots) *Agent {
	a := &Agent{t: t, Home: server.Home(t.TempDir())}
	a.Server = func() *server.Server {
		return server.New(server.Options{
			Service: s, Snapshots: snapshots, Log: slog.New(slog.DiscardHandler),
			Info: server.AgentInfo{Version: "test", Build: "test"},
		})
	}
	a.Begin()
	t.Cleanup(a.End)
	return a
}

// Begin serves.
func (a *Agent) Begin() {
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	a.stop, a.ended = stop, make(chan error, 1)
	agent := &server.Agent{
		Home: a.Home, Server: a.Server(), Log: slog.New(slog.DiscardHandler),
		Ready: func() { close(ready) },
	}
	go func() { a.ended <- agent.Serve(ctx) }()
	select {
	case <-ready:
	case err := <-a.ended:
		a.t.Fatal("agent:", err)
	case <-time.After(10 * time.Second):
		a.t.Fatal("the agent does not get ready")
	}
}

// End cuts everything off. Ending twice is fine.
func (a *Agent) End() {
	if a.stop == nil {
		return
	}
	a.stop()
	a.stop = nil
	if err := <-a.ended; err != nil {
		a.t.Error("agent:", err)
	}
}
