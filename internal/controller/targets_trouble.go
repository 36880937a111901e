package controller

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

// troubleEvery is how often a target is looked at for whether it answers.
const troubleEvery = time.Second

// tellTrouble says of a target's runs that it does not answer, as soon as that
// is known: a step that is cut off hears of it much later, for it waits for the
// line. The store is told when that begins, and when it is over.
func (c *Controller) tellTrouble(t *target) {
	if t.door == nil {
		return
	}
	tick := time.NewTicker(troubleEvery)
	defer tick.Stop()
	for told := false; ; {
		why := t.away()
		if away := why != ""; away || told {
			told = away
			for _, id := range t.slots.all() {
				if told || strings.HasPrefix(c.live.remarkOf(id), unreachableSince) {
					c.live.setRemark(id, why)
				}
			}
		}
		c.storeContact(t)
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// storeContact tells the store whether an open target is reached, when that has
// changed. What fails is tried again at the next look.
func (c *Controller) storeContact(t *target) {
	since := t.missedSince()
	switch away := !since.IsZero(); {
	case away && !t.missed:
		t.missed = c.storeMissed(t, since)
	case !away && t.missed:
		err := c.store.TouchTarget(c.ctx, t.name, c.now().UTC())
		if t.missed = err != nil; err != nil && c.ctx.Err() == nil {
			c.log.Warn("it could not be stored that a target was reached", "target", t.name, "error", err)
		}
	}
}

// storeMissed tells the store since when a target is not reached.
func (c *Controller) storeMissed(t *target, since time.Time) bool {
	err := c.store.MissTarget(c.ctx, t.name, since)
	if err != nil && c.ctx.Err() == nil {
		c.log.Warn("it could not be stored that a target is not reached", "target", t.name, "error", err)
	}
	return err == nil
}

// missedSince is since when a target is not reached; zero: it is.
func (t *target) missedSince() time.Time {
	if t.absence != nil {
		t.absence.mu.Lock()
		defer t.absence.mu.Unlock()
		return t.absence.since
	}
	if t.door != nil {
		if since, err := t.door.Trouble(); err != nil {
			return since
		}
	}
	return time.Time{}
}

// silentSince is since when a target has not answered for a run's last attempt,
// which somebody who asked it noticed at first: not before it was granted to it.
func (t *target) silentSince(first time.Time, r *run.Run) time.Time {
	since := t.missedSince()
	if since.IsZero() || !since.Before(first) {
		return first
	}
	if granted := r.Last().GrantedAt; granted != nil && since.Before(*granted) {
		return *granted
	}
	return since
}

// unreachableError is a target that does not answer now.
func unreachableError(why string) error {
	return &backends.Failure{Outcome: run.OutcomeTargetUnreachable, Temporary: true, Err: errors.New(why)}
}

// awayLimit is how long somebody who asks for what is on a target waits for it
// when it does not answer.
const awayLimit = 3 * time.Second

// whileThere is a context that ends when the target has not answered for a
// while: nobody is to wait for what may never come.
func (t *target) whileThere(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	if t.door != nil {
		watching.Go(func() { t.watchAway(ctx, cancel) })
	}
	return ctx, func() { cancel(nil); watching.Wait() }
}

func (t *target) watchAway(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(troubleEvery)
	defer tick.Stop()
	for away := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
		why := t.away()
		if why == "" {
			away = 0
		} else if away += troubleEvery; away >= awayLimit {
			cancel(unreachableError(why))
			return
		}
	}
}
