package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/supervise"
)

const (
	// stopSlack is how much longer than the grace a supervisor may take, before
	// the engine ends its job.
	stopSlack = 5 * time.Second
	// goneStep is how often a job that was ended is looked for, and gonePatience
	// for how long.
	goneStep     = 200 * time.Millisecond
	gonePatience = 90 * time.Second
)

// Stop leaves the wish with the attempt's supervisor and has the engine wake
// it. A job that has not begun is removed; one whose supervisor does not end
// it in time, when asked again, is ended by the engine.
func (b *Backend) Stop(ctx context.Context, ref backends.Ref, grace time.Duration) error {
	if err := b.stop(ctx, ref, grace); err != nil {
		return fmt.Errorf("stop %s: %w", markOf(ref).Name(), b.failure(err))
	}
	return nil
}

func (b *Backend) stop(ctx context.Context, ref backends.Ref, grace time.Duration) error {
	mark := markOf(ref)
	defer b.lock(mark)()
	sups, err := b.files.Supervised(ctx, []backends.Ref{ref})
	if err != nil || sups[0].Phase == supervise.Ended || !handed(sups[0]) {
		return err
	}
	before, err := b.files.Wish(ctx, ref, grace)
	if err != nil {
		return err
	}
	ids, err := b.live(ctx, ref)
	if err != nil || len(ids) == 0 {
		return err
	}
	if grace <= 0 && sups[0].Phase == supervise.Absent || !before.IsZero() && time.Since(before) > grace+stopSlack {
		return b.engine.Cancel(ctx, ids)
	}
	return b.engine.Terminate(ctx, ids)
}

// live are the ids of an attempt's jobs that have not ended.
func (b *Backend) live(ctx context.Context, ref backends.Ref) ([]string, error) {
	known, err := b.board.fresh(ctx, []Mark{markOf(ref)})
	if err != nil {
		return nil, err
	}
	return live(known[markOf(ref)]), nil
}

// Release ends what is left of the attempt's job and removes its directory.
func (b *Backend) Release(ctx context.Context, ref backends.Ref) error {
	mark := markOf(ref)
	defer b.lock(mark)()
	if err := b.end(ctx, ref); err != nil {
		return fmt.Errorf("release %s: %w", mark.Name(), b.failure(err))
	}
	if err := b.files.Release(ctx, ref); err != nil {
		return err
	}
	b.board.forget(mark)
	return nil
}

// errStillThere is a job that does not go.
var errStillThere = errors.New("the engine has not ended its job yet")

// end makes that nothing of an attempt runs any more. A supervisor that wrote
// down the end has seen to that.
func (b *Backend) end(ctx context.Context, ref backends.Ref) error {
	sups, err := b.files.Supervised(ctx, []backends.Ref{ref})
	if err != nil || sups[0].Phase == supervise.Ended || !handed(sups[0]) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, gonePatience)
	defer cancel()
	step := time.NewTicker(goneStep)
	defer step.Stop()
	told := false
	for {
		known, err := b.board.fresh(ctx, []Mark{markOf(ref)})
		if err != nil {
			return err
		}
		states := known[markOf(ref)]
		ids := live(states)
		if len(ids) > 0 && !told {
			if err := b.engine.Cancel(ctx, ids); err != nil {
				return err
			}
			told = true
		}
		if !ending(states) && len(ids) == 0 {
			return nil
		}
		select {
		case <-step.C:
		case <-ctx.Done():
			return errors.Join(errStillThere, context.Cause(ctx))
		}
	}
}

// ending reports whether one of the jobs is being cleared away.
func ending(states []State) bool {
	for _, s := range states {
		if s.Phase == Ending {
			return true
		}
	}
	return false
}
