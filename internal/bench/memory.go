package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
)

// benchMemory: what the agent needs for many runs that wait behind one.
func benchMemory(ctx context.Context, l *lab) (rows []row, err error) {
	h, err := l.newHome(ctx, benchCPUs, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	holder, err := h.submissions(ctx, fmt.Sprintf("command: sleep 3600\nresources: {cpus: %d}\n", benchCPUs))
	if err != nil {
		return nil, err
	}
	if _, err := holder.submit(ctx, 1); err != nil {
		return nil, err
	}
	if err := holder.awaitState(ctx, run.Running, 1); err != nil {
		return nil, err
	}
	empty, err := memoryOf(h.pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	waiting, err := h.submissions(ctx, "command: \"true\"\n")
	if err != nil {
		return nil, err
	}
	n := l.count(1000, 100)
	if _, err := waiting.submit(ctx, n); err != nil {
		return nil, err
	}
	if err := waiting.awaitState(ctx, run.Queued, n); err != nil {
		return nil, err
	}
	queued, err := memoryOf(h.pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	peak, err := memoryOf(h.pid, "VmHWM")
	if err != nil {
		return nil, err
	}
	const most = 60 << 20
	return []row{
		newRow("agent with 1 run", byteCount, alone, []float64{empty}, nil, nil),
		newRow(fmt.Sprintf("agent with %d queued runs", n), byteCount, alone, []float64{queued}, nil, atMost(most)),
		newRow("agent's peak until then", byteCount, alone, []float64{peak}, nil, atMost(most)),
	}, nil
}

// awaitState returns when exactly n runs of the home are in a state.
func (h *home) awaitState(ctx context.Context, state run.State, n int) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		found, err := h.client.List(ctx, controller.Filter{States: []run.State{state}})
		if err != nil || len(found) == n {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d runs are %s, not %d: %w", len(found), state, n, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
