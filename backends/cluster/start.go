package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/run"
)

// handlePrefix begins our handles; the engine's name for the job follows.
const handlePrefix = "job:"

// unknownJob is the handle of an attempt that began under a job whose name is
// not known any more: all is found by its mark.
const unknownJob = "?"

func handleOf(id string) backends.Handle { return backends.Handle(handlePrefix + id) }

// defaultGrace between SIGTERM and SIGKILL when the spec does not say.
const defaultGrace = 30 * time.Second

func graceOf(a backends.Attempt) time.Duration {
	if a.Config.Grace > 0 {
		return time.Duration(a.Config.Grace)
	}
	return defaultGrace
}

// limitRoom is how much longer than the script's own limit and grace the
// engine's is: our supervisor ends it, and tells why.
const limitRoom = 2 * time.Minute

// Start submits the attempt's job. Its mark is looked for first when it may
// have been submitted before.
func (b *Backend) Start(ctx context.Context, a backends.Attempt) (backends.Handle, error) {
	mark := markOf(a.Ref())
	defer b.lock(mark)()
	j, err := b.files.Job(ctx, a)
	if err != nil {
		return "", err
	}
	if j.Begun || j.Again {
		id, err := b.find(ctx, mark)
		if err != nil {
			return "", b.failure(fmt.Errorf("look for the job of %s: %w", mark.Name(), err))
		}
		if id != "" {
			return handleOf(id), nil
		}
		if j.Begun {
			return handleOf(unknownJob), nil
		}
	}
	id, err := b.submit(ctx, a, j)
	if err != nil {
		return "", b.failure(fmt.Errorf("submit: %w", err))
	}
	b.board.note(State{ID: id, Mark: mark, Phase: Pending, Reason: "it was submitted just now"})
	if j.Again {
		return b.onlyOne(ctx, mark, id)
	}
	return handleOf(id), nil
}

func (b *Backend) submit(ctx context.Context, a backends.Attempt, j machine.Job) (string, error) {
	job := Job{Mark: markOf(a.Ref()), Argv: j.Argv, Dir: j.Dir, Log: j.Log, Config: a.Config, Grace: graceOf(a)}
	if d := time.Duration(a.Config.MaxRunDuration); d > 0 {
		job.Limit = d + job.Grace + limitRoom
	}
	id, err := b.engine.Submit(ctx, job)
	if err == nil || backends.IsTemporary(err) || b.files.Unreachable(err) || ctx.Err() != nil {
		return id, err
	}
	if _, refused := errors.AsType[*backends.Failure](err); refused { // then nothing of it waits there
		err = errors.Join(err, b.files.Unprepare(context.WithoutCancel(ctx), a.Ref()))
	}
	return "", err
}

// find looks for the job of a mark; empty: there is none.
func (b *Backend) find(ctx context.Context, mark Mark) (string, error) {
	known, err := b.board.fresh(ctx, []Mark{mark})
	if err != nil || len(known[mark]) == 0 {
		return "", err
	}
	return chosen(known[mark]).ID, nil
}

// onlyOne sees, after a job was submitted again, that the first one did not
// come after all: of several the oldest stays.
func (b *Backend) onlyOne(ctx context.Context, mark Mark, id string) (backends.Handle, error) {
	known, err := b.board.fresh(ctx, []Mark{mark})
	if err != nil {
		return handleOf(id), nil //nolint:nilerr // it is submitted; of two jobs one runs the script in any case
	}
	states := known[mark]
	if len(states) < 2 {
		return handleOf(id), nil
	}
	if err := b.engine.Cancel(ctx, live(states[1:])); err != nil {
		return "", b.failure(fmt.Errorf("cancel a second job of %s: %w", mark.Name(), err))
	}
	return handleOf(states[0].ID), nil
}

// chosen of several jobs with one mark is the one that has not ended, or else
// the one that the engine had a hand in: a job that found nothing to run ends
// by itself.
func chosen(states []State) State {
	for _, fits := range []func(State) bool{
		func(s State) bool { return s.Phase != Ended },
		func(s State) bool { return s.Outcome != "" && s.Outcome != run.OutcomeCanceled },
	} {
		if i := slices.IndexFunc(states, fits); i >= 0 {
			return states[i]
		}
	}
	return states[0]
}

// failure says whose fault an error is.
func (b *Backend) failure(err error) error {
	if _, ok := errors.AsType[*backends.Failure](err); ok && !b.files.Unreachable(err) {
		return err
	}
	return b.files.Failure(err)
}
