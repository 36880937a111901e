package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/server/servertest"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
)

// pollEvery is how often a test looks whether something happened.
const pollEvery = 2 * time.Millisecond

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "supervise" || os.Args[1] == "onhost") { // under whatever name it was installed
		main()
	}
	testscript.Main(m, map[string]func(){
		// runner is this very command, with its own engine or with the fake one.
		"runner": func() {
			if os.Getenv(fakeEngine) == "" {
				main()
			}
			testenv.Exit(execute(os.Args[1:], newCLI(startFake)))
		},
		// The same, as a later build, and as a later build with a newer database.
		"runner-later": func() { testenv.Exit(execute(os.Args[1:], another("later", store.Schema()))) },
		"runner-newer": func() { testenv.Exit(execute(os.Args[1:], another("newer", store.Schema()+1))) },
	})
}

// fakeEngine is a variable that takes the engine out of the command.
const fakeEngine = "RUNNER_TEST_FAKE_ENGINE"

func another(build string, schema int) *cli {
	c := newCLI(startFake)
	c.build = func(string) (string, error) { return build, nil }
	c.schema = schema
	return c
}

// startFake is an engine that keeps nothing, for what is only about commands.
func startFake(_ context.Context, home server.Home, _ *slog.Logger) (*engine, error) {
	s := servertest.NewIn(filepath.Join(string(home), "fake"))
	snapshots, err := snapshot.Open(filepath.Join(string(home), "objects"))
	if err != nil {
		return nil, err
	}
	return &engine{
		service: s, snapshots: snapshots, metrics: http.NotFoundHandler(),
		busy: func(ctx context.Context) (bool, error) {
			active, err := s.List(ctx, controller.Filter{Active: true})
			return len(active) > 0, err
		},
		close: func() error { s.Close(); return nil },
	}, nil
}

// TestCommands is about the commands alone: nothing is carried out for real.
func TestCommands(t *testing.T) { runScripts(t, "testdata/command", "1") }

// TestScripts goes from end to end, on this computer, without containers.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script", "") }

func runScripts(t *testing.T, dir, fake string) {
	address, cert := dataServer(t)
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv(fakeEngine, fake)
			env.Setenv("RUNNER_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("RUNNER_AGENT_IDLE", "30s")
			env.Setenv("DATA_URL", address)
			env.Setenv("SSL_CERT_FILE", cert)
			env.Setenv("TZ", "UTC")
			env.Defer(func() { stopAgent(t, env.Getenv("RUNNER_HOME")) })
			return nil
		},
	})
}

// stopAgent ends the agent that a script's commands started.
func stopAgent(t *testing.T, dir string) {
	h := server.Home(dir)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return
	}
	if err := h.Kill(); err != nil {
		t.Error(err)
	}
	if err := h.AwaitFree(t.Context(), pollEvery); err != nil {
		t.Error(err)
	}
}
