package container

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/runnerml/runner/internal/host"
)

// minAPI is the oldest API that has what we need: Docker 20.10.
const minAPI = "1.41"

// askTimeout bounds a question that any engine answers at once. Pulling,
// building, creating and stopping have no limit but their context's.
const askTimeout = 30 * time.Second

// Options for Open.
type Options struct {
	// Socket of the engine: "unix:///path" or a path. Empty: DOCKER_HOST, the
	// current docker context, then the well-known places.
	Socket string
}

// Engine is a Docker engine, or podman, on a host. It is safe for concurrent
// use. Close it.
type Engine struct {
	host   host.Host
	socket string
	api    *client.Client
	info   Info

	pulls  flights[Image]
	builds flights[Image]

	background sync.WaitGroup
	closing    context.Context
	close      context.CancelFunc
}

// Open finds the host's engine and checks that we can talk to it.
func Open(ctx context.Context, h host.Host, o Options) (*Engine, error) {
	socket, err := findSocket(ctx, h, o.Socket)
	if err != nil {
		return nil, err
	}
	e := &Engine{host: h, socket: socket}
	e.closing, e.close = context.WithCancel(context.WithoutCancel(ctx))
	if e.api, err = newClient(h, socket); err != nil {
		return nil, fmt.Errorf("open Docker engine: %w", err)
	}
	if e.info, err = e.Info(ctx); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

func newClient(h host.Host, socket string) (*client.Client, error) {
	return client.New(client.WithHost("unix://"+socket), client.WithDialContext(dialler(h, socket)))
}

// dialler dials the engine's socket, whatever address is asked for.
func dialler(h host.Host, socket string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := h.Dial(ctx, "unix", socket)
		if err != nil {
			return nil, &dialError{cause: err}
		}
		return conn, nil
	}
}

// Socket is the path of the engine's socket on its host.
func (e *Engine) Socket() string { return e.socket }

// Close ends what goes on in the background and gives the connections back.
// Containers stay as they are.
func (e *Engine) Close() error {
	e.close()
	e.background.Wait()
	return e.api.Close()
}

// brief is a context for a question that any engine answers at once.
func brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTimeout)
}
