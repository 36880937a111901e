package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

const (
	cleanupTimeout = 2 * time.Minute
	pollInterval   = 20 * time.Millisecond
)

// home is a temporary RUNNER_HOME with an agent. Close it.
type home struct {
	*lab
	dir    string
	client *client.Client
	pid    int // of the agent
}

// newHome starts an agent over an empty home, on at most cpus CPUs (zero: all).
// settings is the home's config.yaml.
func (l *lab) newHome(ctx context.Context, cpus int, settings string) (_ *home, err error) {
	dir, err := os.MkdirTemp(l.dir, "home-")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(settings), 0o600); err != nil {
		return nil, err
	}
	h := &home{lab: l, dir: dir, client: client.New(client.Options{Dial: server.Home(dir).Dial, Patience: time.Second})}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close(ctx))
		}
	}()
	start := h.command(ctx, "agent", "start")
	if cpus > 0 && runtime.NumCPU() > cpus {
		some, err := allowedCPUs(cpus)
		if err != nil {
			return nil, err
		}
		start.Args = append([]string{"taskset", "-c", some}, start.Args...)
		if start.Path, err = exec.LookPath("taskset"); err != nil {
			return nil, err
		}
	}
	if err := quietly(start); err != nil {
		return nil, err
	}
	info, err := h.client.Agent(ctx)
	if err != nil {
		return nil, err
	}
	h.pid = info.PID
	return h, nil
}

// command is a runner command line in this home.
func (h *home) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.runner, args...)
	cmd.Env = slices.Concat(h.environ, []string{"RUNNER_HOME=" + h.dir})
	return cmd
}

// close cancels what still goes on, ends the agent and removes the home. It
// works although ctx has ended.
func (h *home) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := h.cancelAll(ctx)
	err = errors.Join(err, quietly(h.command(ctx, "agent", "stop")))
	h.client.Close()
	return errors.Join(err, os.RemoveAll(h.dir))
}

func (h *home) cancelAll(ctx context.Context) error {
	if h.pid == 0 {
		return nil
	}
	active, err := h.client.List(ctx, controller.Filter{Active: true})
	if err != nil {
		return err
	}
	for _, r := range active { // newest first, so that none of them starts
		if _, err := h.client.Cancel(ctx, r.ID); err != nil {
			return err
		}
	}
	return h.awaitIdle(ctx)
}

// awaitIdle returns when no run is unfinished.
func (h *home) awaitIdle(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		active, err := h.client.List(ctx, controller.Filter{Active: true, Limit: 1})
		if err != nil || len(active) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for run %s: %w", active[0].ID, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// quietly runs a command whose output matters only when it fails.
func quietly(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// answer runs a command that must succeed, and gives what it writes to standard
// output.
func answer(cmd *exec.Cmd) (string, error) {
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
