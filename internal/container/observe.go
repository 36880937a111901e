package container

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// inspectsAtOnce is how many ended containers are asked about at a time.
const inspectsAtOnce = 8

// Phase is what an engine says of a container.
type Phase string

// The phases of a container.
const (
	// Created: made and not started.
	Created Phase = "created"
	// Running: its first process lives (also while it is paused).
	Running Phase = "running"
	// Exited: its first process ended.
	Exited Phase = "exited"
	// Removing: the engine is taking it away.
	Removing Phase = "removing"
)

// State is what an engine says of one of our containers now.
type State struct {
	Mark  Mark
	ID    string
	Phase Phase
	// Paused: somebody froze it.
	Paused bool
	// The rest is known of an Exited one (or a Created one whose start failed).
	ExitCode int
	// OOMKilled: the kernel killed something in it because it went over its
	// memory limit.
	OOMKilled bool
	// Error is the engine's own word for why it did not start.
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
}

// Observe says what the engine knows now of the marked containers: one
// question for all, and one more for each that ended. A mark without a state
// in the answer has no container. No marks: all of home's.
func (e *Engine) Observe(ctx context.Context, home string, marks ...Mark) ([]State, error) {
	const op = "list containers"
	ctx, cancel := brief(ctx)
	defer cancel()
	listed, err := e.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", LabelHome+"="+home),
	})
	if err != nil {
		return nil, wrap(ctx, op, err)
	}
	wanted := make(map[Mark]bool, len(marks))
	for _, m := range marks {
		wanted[m] = true
	}
	states := make([]State, 0, len(listed.Items))
	for _, c := range listed.Items {
		if m, ok := markOf(c.Labels); ok && (len(marks) == 0 || wanted[m]) {
			states = append(states, State{Mark: m, ID: c.ID, Phase: phaseOf(c.State), Paused: c.State == container.StatePaused})
		}
	}
	gone := make([]bool, len(states))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inspectsAtOnce)
	for n := range states {
		if states[n].Phase == Running {
			continue
		}
		group.Go(func() error {
			detail, err := e.state(ctx, states[n].ID)
			switch {
			case KindOf(err) == NotFound:
				gone[n] = true
			case err == nil:
				states[n] = detail
			}
			return ignore(err, NotFound)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	n := -1
	return slices.DeleteFunc(states, func(State) bool { n++; return gone[n] }), nil
}

// state asks for one container's.
func (e *Engine) state(ctx context.Context, id string) (State, error) {
	found, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return State{}, wrap(ctx, "inspect container "+shortID(id), err)
	}
	c := found.Container
	s := State{ID: c.ID}
	if c.Config != nil {
		s.Mark, _ = markOf(c.Config.Labels)
	}
	if st := c.State; st != nil {
		s.Phase, s.Paused = phaseOf(st.Status), st.Paused
		s.ExitCode, s.OOMKilled, s.Error = st.ExitCode, st.OOMKilled, st.Error
		s.StartedAt, s.FinishedAt = parseTime(st.StartedAt), parseTime(st.FinishedAt)
		if !s.FinishedAt.IsZero() { // Docker writes a short one's start down after its end
			s.FinishedAt = later(s.FinishedAt, s.StartedAt)
		}
	}
	return s, nil
}

// phaseOf is the phase of an engine's state. podman has words of its own.
func phaseOf(s container.ContainerState) Phase {
	switch s {
	case container.StateCreated, "configured", "initialized":
		return Created
	case container.StateRunning, container.StatePaused, container.StateRestarting, "stopping":
		return Running
	case container.StateRemoving, container.StateDead:
		return Removing
	default:
		return Exited
	}
}

// Output is the end of what the container's first process itself said, at
// most lines lines: why a supervisor did not start. A container that is not
// there said nothing.
func (e *Engine) Output(ctx context.Context, id string, lines int) (string, error) {
	const limit = 64 << 10
	ctx, cancel := brief(ctx)
	defer cancel()
	op := "read output of container " + shortID(id)
	stream, err := e.api.ContainerLogs(ctx, id, client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(lines),
	})
	if err != nil {
		return "", ignore(wrap(ctx, op, err), NotFound)
	}
	defer func() { _ = stream.Close() }()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, io.LimitReader(stream, limit)); err != nil && out.Len() == 0 {
		return "", wrap(ctx, op, err)
	}
	return strings.TrimSpace(out.String()), nil
}

// ignore is nil for an error of one of the kinds.
func ignore(err error, kinds ...Kind) error {
	if slices.Contains(kinds, KindOf(err)) {
		return nil
	}
	return err
}
