package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/runnerml/runner/internal/server"
)

// engine is what an agent serves: the controller with all that it stands on.
type engine struct {
	service   server.Service
	snapshots server.Snapshots
	metrics   http.Handler
	// busy says whether a run is unfinished.
	busy func(context.Context) (bool, error)
	// close stops working; runs go on.
	close func() error
}

// startEngineFunc opens what a home holds and begins to work. Tests give
// another one.
type startEngineFunc func(ctx context.Context, home server.Home, log *slog.Logger) (*engine, error)
