package main

import (
	"context"
	"log/slog"

	"github.com/runnerml/runner/internal/server"
)

// knownSchema is the version of the database that package store brings a home
// to. A test compares the two.
const knownSchema = 1

// startEngine opens the home's database and starts the controller.
func startEngine(context.Context, server.Home, *slog.Logger) (*engine, error) {
	return nil, &server.Problem{Code: server.Internal, Message: "the controller is not wired yet"}
}
