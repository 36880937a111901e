package controller

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/store"
)

// sweepEvery is how often a target is searched for what no run owns any more.
const sweepEvery = 10 * time.Minute

// sweep releases what is left on a target of attempts that have ended: the
// traces of a cut between the end of a run and its clean-up. What belongs to a
// run that our store does not know is somebody's and is left alone, loudly. Then
// the target is pruned, when it is time.
func (c *Controller) sweep(t *target) {
	s, ok := t.backend.(backends.Sweeper)
	if !ok {
		return
	}
	for {
		c.sweepOnce(t, s)
		c.pruneBySelf(t)
		if sleep(t.ctx, sweepEvery) != nil {
			return
		}
	}
}

func (c *Controller) sweepOnce(t *target, s backends.Sweeper) {
	refs, err := s.Marks(t.ctx)
	if err != nil {
		if t.ctx.Err() == nil {
			c.log.Warn("the target could not be searched for leftovers", "target", t.name, "error", err)
		}
		return
	}
	for _, ref := range refs {
		r, err := c.store.Run(t.ctx, ref.Run)
		if _, unknown := errors.AsType[*store.NotFoundError](err); unknown {
			c.log.Warn("something on the target belongs to a run that is not in the store; it is left alone",
				"target", t.name, "run", ref.Run, "attempt", ref.Number)
			continue
		}
		if err != nil {
			return
		}
		current := r.Last() != nil && r.Last().Number == ref.Number && r.State.Holds()
		if current || ref.Number > len(r.Attempts) {
			continue
		}
		if err := t.backend.Release(t.ctx, ref); err != nil {
			c.log.Warn("leftovers of an attempt could not be removed", "run", ref.Run, "attempt", ref.Number, "error", err)
			continue
		}
		c.log.Info("leftovers of an ended attempt were removed", "run", ref.Run, "attempt", ref.Number)
	}
}

func (c *Controller) runDir(id string) string { return filepath.Join(c.home, "runs", id) }
