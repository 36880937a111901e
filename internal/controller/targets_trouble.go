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
// line.
func (c *Controller) tellTrouble(t *target) {
	if t.door == nil {
		return
	}
	tick := time.NewTicker(troubleEvery)
	defer tick.Stop()
	for told := false; ; {
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
		why := t.away()
		if why == "" && !told {
			continue
		}
		told = why != ""
		for _, id := range t.slots.all() {
			if told || strings.HasPrefix(c.live.remarkOf(id), unreachableSince) {
				c.live.setRemark(id, why)
			}
		}
	}
}

// silentSince is since when a target has not answered, which somebody who asked
// it noticed at first.
func (t *target) silentSince(first time.Time) time.Time {
	if t.door != nil {
		if since, err := t.door.Trouble(); err != nil && since.Before(first) {
			return since
		}
	}
	return first
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
