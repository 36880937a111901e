package controller

import (
	"slices"
	"sync"

	"github.com/runnerml/runner/backends"
)

// PruneReport says what a prune freed, or would free, and where.
type PruneReport struct {
	// Runs, Snapshots and Environments of all places; environments by digest.
	Runs         []string `json:"runs"`
	Snapshots    int      `json:"snapshots"`
	Environments []string `json:"environments"`
	// Bytes freed in all places.
	Bytes  int64         `json:"bytes"`
	DryRun bool          `json:"dry_run"`
	Places []PrunedPlace `json:"places"`
	// Kept are runs old enough to go that stay.
	Kept []KeptRun `json:"kept,omitempty"`

	places []*PrunedPlace
	mu     *sync.Mutex
}

// PrunedPlace is what was freed on one target, this computer being "local".
type PrunedPlace struct {
	Target string           `json:"target"`
	Freed  []backends.Freed `json:"freed"`
	Bytes  int64            `json:"bytes"`
	// Error says why it could not be pruned, or not to the end.
	Error string `json:"error,omitempty"`
	// Unreachable: that is because the target could not be asked.
	Unreachable bool `json:"unreachable,omitempty"`
}

// KeptRun is a run that stays although it is old.
type KeptRun struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

func newPruneReport(dry bool) *PruneReport {
	return &PruneReport{DryRun: dry, Runs: []string{}, Environments: []string{}, mu: &sync.Mutex{}}
}

// place gives the place of that name, and makes it when it is not there.
func (r *PruneReport) place(target string) *PrunedPlace {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.places {
		if p.Target == target {
			return p
		}
	}
	p := &PrunedPlace{Target: target, Freed: []backends.Freed{}}
	r.places = append(r.places, p)
	return p
}

// add counts something in, unless it is nothing.
func (p *PrunedPlace) add(freed ...backends.Freed) {
	for _, f := range freed {
		if f.Count > 0 || f.Bytes > 0 {
			p.Freed = append(p.Freed, f)
			p.Bytes += f.Bytes
		}
	}
}

// done sums up.
func (r *PruneReport) done() *PruneReport {
	r.Places = []PrunedPlace{}
	order := backends.PruneKinds()
	for _, p := range r.places {
		slices.SortStableFunc(p.Freed, func(a, b backends.Freed) int {
			return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
		})
		r.Bytes += p.Bytes
		r.Places = append(r.Places, *p)
		for _, f := range p.Freed {
			switch f.Kind {
			case backends.PruneRuns:
				r.Runs = append(r.Runs, f.Names...)
			case backends.PruneSnapshots:
				r.Snapshots += f.Count
			case backends.PruneEnvironments, backends.PruneImages:
				r.Environments = append(r.Environments, f.Names...)
			case backends.PrunePulled, backends.PruneInputs, backends.PruneCopies, backends.PruneCheckpoints, backends.PrunePrograms:
			}
		}
	}
	return r
}
