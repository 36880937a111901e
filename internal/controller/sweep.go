package controller

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/store"
)

const (
	// sweepEvery is how often a target is searched for what no run owns any more.
	sweepEvery = 10 * time.Minute
	// sweepSoon is the pause after that could not be done.
	sweepSoon = 15 * time.Second
)

// sweep releases what is left on a target of attempts that have ended: the
// traces of a cut between the end of a run and its clean-up. What belongs to a
// run that our store does not know is somebody's and is left alone, loudly. So
// ends what still runs of an attempt that was given up while its target could
// not be reached, as soon as that is there again. Then the target is pruned, when
// it is time.
func (c *Controller) sweep(t *target) {
	s, ok := t.backend.(backends.Sweeper)
	if !ok {
		return
	}
	again := sweepSoon
	for said := false; ; {
		pause := sweepEvery
		if err := c.sweepOnce(t, s); err == nil {
			said, again = false, sweepSoon
			c.pruneBySelf(t)
		} else if t.ctx.Err() == nil {
			if pause = again; t.away() == "" { // it is there, and will hardly do it the next time either
				again = min(2*again, sweepEvery)
			}
			if !said {
				c.log.Warn("the target could not be searched for leftovers; it is tried again", "target", t.name, "error", err)
			}
			said = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.lost:
			again = sweepSoon
		case <-t.ctx.Done():
		}
		timer.Stop()
		if t.ctx.Err() != nil {
			return
		}
	}
}

// leaveBehind says that something of an attempt may be left on a target.
func (t *target) leaveBehind() {
	select {
	case t.lost <- struct{}{}:
	default:
	}
}

// sweepOnce fails when it has to be done again soon.
func (c *Controller) sweepOnce(t *target, s backends.Sweeper) error {
	refs, err := s.Marks(t.ctx)
	if err != nil {
		return err
	}
	var left error
	for _, ref := range refs {
		r, err := c.store.Run(t.ctx, ref.Run)
		if _, unknown := errors.AsType[*store.NotFoundError](err); unknown {
			c.log.Warn("something on the target belongs to a run that is not in the store; it is left alone",
				"target", t.name, "run", ref.Run, "attempt", ref.Number)
			continue
		}
		if err != nil {
			return err
		}
		current := r.Last() != nil && r.Last().Number == ref.Number && r.State.Holds()
		if current || ref.Number > len(r.Attempts) {
			continue
		}
		if err := t.backend.Release(t.ctx, ref); err != nil {
			left = fmt.Errorf("leftovers of attempt %d of %s: %w", ref.Number, ref.Run, err)
			continue
		}
		c.log.Info("leftovers of an ended attempt were removed", "run", ref.Run, "attempt", ref.Number)
	}
	return left
}

func (c *Controller) runDir(id string) string { return filepath.Join(c.home, "runs", id) }
