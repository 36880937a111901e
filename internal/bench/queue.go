package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
)

// The bounds hold for two cores.
const benchCPUs = 2

// benchQueue: many short runs, submitted over one connection as a script
// would, from the first submission to the last end.
func benchQueue(ctx context.Context, l *lab) (rows []row, err error) {
	h, err := l.newHome(ctx, benchCPUs, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	s, err := h.submissions(ctx, "command: \"true\"\n")
	if err != nil {
		return nil, err
	}
	// A few for nothing: the supervisor's binary is put in its place by the first.
	if _, err := s.finish(ctx, 20); err != nil {
		return nil, err
	}
	if err := resetPeak(h.pid); err != nil {
		return nil, err
	}
	n := l.count(1000, 100)
	var ours, bare []float64
	for range l.count(3, 1) {
		shells, err := xargs(ctx, n)
		if err != nil {
			return nil, err
		}
		runs, err := s.finish(ctx, n)
		if err != nil {
			return nil, err
		}
		ours, bare = append(ours, float64(n)/runs.Seconds()), append(bare, float64(n)/shells.Seconds())
	}
	peak, err := memoryOf(h.pid, "VmHWM")
	if err != nil {
		return nil, err
	}
	const leastRate = 50
	return []row{
		newRow(fmt.Sprintf("%d runs of true (bare: xargs -P2 sh -c true)", n), runsPerSecond, alone, ours, bare, atLeast(leastRate)),
		newRow("agent's peak memory meanwhile", byteCount, alone, []float64{peak}, nil, nil),
	}, nil
}

// xargs starts n shells, two at a time.
func xargs(ctx context.Context, n int) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "xargs", fmt.Sprintf("-P%d", benchCPUs), "-n1", "sh", "-c", "true")
	cmd.Stdin = strings.NewReader(strings.Repeat("x\n", n))
	return wallTime(cmd)
}

// submissions makes runs of one config in a home.
type submissions struct {
	*home
	template controller.Submission
}

// submissions pictures a small source for a spec.
func (h *home) submissions(ctx context.Context, spec string) (*submissions, error) {
	dir, err := h.source(map[string]string{"job.yaml": spec})
	if err != nil {
		return nil, err
	}
	config, err := runconfig.Load(filepath.Join(dir, "job.yaml"), nil)
	if err != nil {
		return nil, err
	}
	resolved, err := environment.Resolve(ctx, nil, dir, nil)
	if err != nil {
		return nil, err
	}
	store, err := snapshot.Open(filepath.Join(h.dir, "objects"))
	if err != nil {
		return nil, err
	}
	picture, err := store.Take(ctx, dir, snapshot.Options{})
	if err != nil {
		return nil, err
	}
	return &submissions{home: h, template: controller.Submission{
		Config: config, Environment: resolved, Snapshot: string(picture.ID),
	}}, nil
}

// submit submits n runs, one after the other.
func (s *submissions) submit(ctx context.Context, n int) ([]*run.Run, error) {
	runs := make([]*run.Run, n)
	for i := range runs {
		one := s.template
		one.RequestID = rand.Text()
		var err error
		if runs[i], err = s.client.Submit(ctx, one); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// finish submits n runs, waits for them and says how long that took until the
// last of them had ended. All of them must have completed.
func (s *submissions) finish(ctx context.Context, n int) (time.Duration, error) {
	began := time.Now()
	runs, err := s.submit(ctx, n)
	if err != nil {
		return 0, err
	}
	submitted := time.Since(began)
	if err := s.awaitIdle(ctx); err != nil {
		return 0, err
	}
	ended, err := s.client.List(ctx, controller.Filter{Limit: n})
	if err != nil {
		return 0, err
	}
	ours := make(map[string]bool, n)
	for _, r := range runs {
		ours[r.ID] = true
	}
	last := began
	for i := range ended {
		r := &ended[i]
		if r.State != run.Completed || !ours[r.ID] {
			return 0, fmt.Errorf("run %s is %s: %s", r.ID, r.State, r.Message)
		}
		delete(ours, r.ID)
		if r.EndedAt.After(last) {
			last = *r.EndedAt
		}
	}
	if len(ours) > 0 {
		return 0, fmt.Errorf("%d of %d runs are not listed", len(ours), n)
	}
	s.sayf("%d runs: submitted in %s, ended after %s", n, submitted.Round(time.Millisecond), last.Sub(began).Round(time.Millisecond))
	return last.Sub(began), nil
}
