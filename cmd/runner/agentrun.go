package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

// defaultIdle is how long an agent stays with nothing to do.
const defaultIdle = 10 * time.Minute

func newAgentRun(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "run", Short: "Be the agent, in the foreground", Args: wants(0, 0, ""), Hidden: true}
	spawned := cmd.Flags().Bool("spawned", false, "started by another command, which waits for an answer")
	idle := cmd.Flags().Duration("idle", defaultIdle, "end after so long with nothing to do; 0: never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a := agentProcess{cli: c, idle: *idle, spawned: *spawned, log: slog.New(slog.NewTextHandler(c.err, nil))}
		if !*spawned {
			return a.run(cmd.Context())
		}
		return a.runSpawned(cmd.Context())
	}
	return cmd
}

// agentProcess is this process as the agent of its home.
type agentProcess struct {
	*cli
	idle    time.Duration
	spawned bool
	log     *slog.Logger
	ready   func()
	// doors opens further listeners, once the engine is there.
	doors func(*server.Server, *engine) ([]server.Listener, error)
}

// runSpawned answers the command that started it with one line, and logs to
// agent.log.
func (a *agentProcess) runSpawned(ctx context.Context) error {
	syscall.CloseOnExec(client.AnswerFD)
	to := os.NewFile(client.AnswerFD, "answer")
	h, err := home()
	if err != nil {
		return err
	}
	file, err := server.NewLogWriter(h)
	if err != nil {
		return err
	}
	defer file.Close()
	a.log = slog.New(slog.NewTextHandler(file, nil))
	answered := false
	answer := func(s client.Started) {
		if answered {
			return
		}
		answered = true
		// Whoever waited may have gone; the agent serves others as well.
		if line, err := json.Marshal(s); err == nil {
			_, _ = to.Write(append(line, '\n'))
		}
		_ = to.Close()
	}
	a.ready = func() { answer(client.Started{Ready: true}) }
	err = a.run(ctx)
	switch {
	case errors.Is(err, server.ErrServed):
		answer(client.Started{Served: true})
		return nil
	case err != nil:
		a.log.Error("the agent ends", "error", err)
		answer(client.Started{Problem: server.ProblemOf(err)})
		return exit(server.ProblemOf(err).Code.Exit())
	}
	return nil
}

// run holds the home's lock, starts the engine and serves it.
func (a *agentProcess) run(ctx context.Context) (err error) {
	l, err := a.local()
	if err != nil {
		return err
	}
	if err := l.Home.Make(); err != nil {
		return err
	}
	lock, err := l.Home.Acquire(ctx, func(ctx context.Context) bool {
		info, err := l.Ask(ctx)
		return err == nil && info != nil
	})
	if err != nil {
		return err
	}
	defer closeWith(&err, lock.Release)
	e, err := a.engine(ctx, l.Home, a.log)
	if err != nil {
		return err
	}
	defer closeWith(&err, e.close)
	docker, err := dockerNamed(l.Home)
	if err != nil {
		return err
	}
	s := server.New(server.Options{
		Service: e.service, Snapshots: e.snapshots, Metrics: e.metrics, Log: a.log,
		Info: server.AgentInfo{
			Version: program.Own().Version, Build: l.Build, PID: os.Getpid(),
			StartedAt: a.now().UTC(), Schema: a.schema, Foreground: !a.spawned, Docker: docker,
		},
	})
	agent := server.Agent{Home: l.Home, Server: s, Idle: a.idle, Busy: e.busy, Log: a.log, Ready: a.ready}
	if a.doors != nil {
		if agent.Listeners, err = a.doors(s, e); err != nil {
			return err
		}
	}
	a.log.Info("the agent serves", "home", l.Home, "pid", os.Getpid(), "version", s.Info.Version)
	err = agent.Serve(ctx)
	a.log.Info("the agent ends", "pid", os.Getpid())
	return err
}

func closeWith(err *error, closer func() error) { *err = errors.Join(*err, closer()) }
