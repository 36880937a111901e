package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// shutdownGrace is how long requests that could end by themselves may take
// once the agent stops. Streams are cut at once.
const shutdownGrace = 2 * time.Second

// Agent serves a Server on the Unix socket of a RUNNER_HOME until its context
// ends, somebody asks it to stop, or it has had nothing to do for a while.
type Agent struct {
	Home   Home
	Server *Server
	// Idle is how long it stays with nothing to do; zero: for ever.
	Idle time.Duration
	// Busy says whether there is work that needs the agent although nobody
	// asks for anything.
	Busy func(ctx context.Context) (bool, error)
	Log  *slog.Logger
	// Ready is called once the socket answers. It may be nil.
	Ready func()
	// Listeners are further doors, each with its own handler.
	Listeners []Listener
}

// Listener is a door besides the socket.
type Listener struct {
	net.Listener
	Handler http.Handler
}

// Serve returns when the agent has stopped, nil when it stopped as it should.
// The socket is gone then and no request is open any more. Stopping makes
// streams end in a cut.
func (a *Agent) Serve(ctx context.Context) error {
	socket, err := a.Home.listen()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a.Server.Stop = stop
	doors := append([]Listener{{Listener: socket, Handler: a.Server}}, a.Listeners...)
	ended := make(chan error, len(doors))
	servers := make([]*http.Server, len(doors))
	for i, door := range doors {
		servers[i] = newHTTPServer(ctx, door.Handler, a.Log)
		go func() { ended <- servers[i].Serve(door) }()
	}
	if a.Ready != nil {
		a.Ready()
	}
	var wait sync.WaitGroup
	wait.Go(func() { a.endWhenIdle(ctx, stop) })
	var failed error
	left := len(doors)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		left--
	}
	stop()
	wait.Wait()
	failed = errors.Join(failed, a.shutdown(servers))
	for range left {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return fmt.Errorf("serve: %w", failed)
	}
	return nil
}

func (a *Agent) shutdown(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	var failed error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			failed = errors.Join(failed, server.Close())
		}
	}
	return failed
}

// endWhenIdle calls stop after a.Idle without a request and without work.
func (a *Agent) endWhenIdle(ctx context.Context, stop func()) {
	if a.Idle <= 0 {
		return
	}
	timer := time.NewTimer(a.Idle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := a.Idle
		since, quiet := a.Server.activity.idleSince()
		if rest := a.Idle - time.Since(since); rest > 0 {
			next = rest
		} else if quiet {
			busy, err := a.Busy(ctx)
			if err != nil && ctx.Err() == nil {
				a.Log.Warn("cannot tell whether there is work", "error", err)
			}
			if err == nil && !busy {
				a.Log.Info("nothing to do: the agent ends", "idle", a.Idle)
				stop()
				return
			}
		}
		timer.Reset(next)
	}
}

func baseContext(ctx context.Context) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return ctx }
}

// removeSocket takes away the socket that a killed agent left. The caller
// holds the lock of the home, so nobody listens on it.
func removeSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	return nil
}
