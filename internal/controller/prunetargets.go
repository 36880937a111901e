package controller

import (
	"context"
	"errors"
	"sync"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

// pruningOf is what targets are asked to free.
func (c *Controller) pruningOf(ctx context.Context, o PruneOptions) (backends.Pruning, error) {
	p := backends.Pruning{
		Kinds: backends.PruneKinds(), OlderThan: o.OlderThan, MaxBytes: c.keeping.MaxBytes, DryRun: o.DryRun,
	}
	if o.EnvironmentsOnly {
		p.Kinds = []backends.PruneKind{backends.PruneEnvironments, backends.PruneImages}
	}
	active, err := c.store.Active(ctx)
	if err != nil {
		return p, err
	}
	for _, r := range active {
		p.Runs = append(p.Runs, r.ID)
		if r.Environment != "" {
			p.Environments = append(p.Environments, r.Environment)
		}
	}
	return p, nil
}

// pruneTargets prunes all targets at once, or the one that is named.
func (c *Controller) pruneTargets(ctx context.Context, only string, p backends.Pruning, report *PruneReport) {
	var all sync.WaitGroup
	for _, t := range c.allTargets() {
		pruner, ok := t.backend.(backends.Pruner)
		if only != "" && t.name != only || !ok && t.absence == nil {
			continue
		}
		place := report.place(t.name)
		if why := t.away(); why != "" {
			place.Error, place.Unreachable = why, true
			continue
		}
		all.Go(func() {
			freed, err := pruner.Prune(ctx, p)
			place.add(freed...)
			if err != nil {
				place.Error = err.Error()
				place.Unreachable = backends.OutcomeOf(err) == run.OutcomeTargetUnreachable
			}
		})
	}
	all.Wait()
}

// pruneBySelf prunes an attached machine that was not for a while. What is
// freed there can be made or sent again. That it cannot be done now is no harm:
// the next time comes.
func (c *Controller) pruneBySelf(t *target) {
	pruner, ok := t.backend.(backends.Pruner)
	if !ok || c.keeping.Every <= 0 || t.away() != "" {
		return
	}
	p, err := c.pruningOf(t.ctx, PruneOptions{OlderThan: c.keeping.OlderThan})
	if err != nil {
		return
	}
	p.NotWithin = c.keeping.Every
	if t.record == nil { // what is made on this computer stays until somebody says so
		p.Kinds = []backends.PruneKind{backends.PruneInputs, backends.PruneCopies}
	}
	freed, err := pruner.Prune(t.ctx, p)
	if err != nil && !errors.Is(err, context.Canceled) && t.ctx.Err() == nil {
		c.log.Warn("a target could not be pruned", "target", t.name, "error", err)
	}
	for _, f := range freed {
		c.log.Info("a target was pruned", "target", t.name, "kind", f.Kind, "count", f.Count, "bytes", f.Bytes)
	}
}
