package backends

import (
	"context"
	"time"
)

// Pruner is a backend that frees what nothing on its target needs any more.
type Pruner interface {
	// Prune never takes what an attempt or a process on the target has in use,
	// also of an attempt that begins meanwhile. Safe to repeat; cut in the
	// middle it leaves nothing that looks whole and is not. Freed has one item a
	// kind, also with an error.
	Prune(ctx context.Context, p Pruning) ([]Freed, error)
}

// PruneKind is a kind of what a target keeps.
type PruneKind string

// The kinds.
const (
	// PruneRuns are runs in our own books, with what they left; no target frees
	// them.
	PruneRuns PruneKind = "runs"
	// PruneSnapshots are copies of sources.
	PruneSnapshots PruneKind = "snapshots"
	// PruneEnvironments are directories, PruneImages what the engine keeps of
	// ours; of these PrunePulled are reported apart, which it has from a registry.
	PruneEnvironments PruneKind = "environments"
	PruneImages       PruneKind = "images"
	PrunePulled       PruneKind = "pulled_images"
	PruneInputs       PruneKind = "inputs"
	// PruneCopies are working directories kept for later attempts.
	PruneCopies PruneKind = "copies"
	// PruneCheckpoints are checkpoint directories of runs that have ended.
	PruneCheckpoints PruneKind = "checkpoints"
	// PrunePrograms are copies of other versions of our own program.
	PrunePrograms PruneKind = "programs"
)

// PruneKinds lists them in the order of reports.
func PruneKinds() []PruneKind {
	return []PruneKind{
		PruneRuns, PruneCheckpoints, PruneSnapshots, PruneEnvironments, PruneImages, PrunePulled, PruneInputs, PruneCopies, PrunePrograms,
	}
}

// Pruning says what may go.
type Pruning struct {
	// Kinds to look at.
	Kinds []PruneKind
	// OlderThan is how long ago something was used last.
	OlderThan time.Duration
	// MaxBytes is how much of a kind may stay: the longest unused goes first,
	// what is in use never. A kind that is not in it has no limit.
	MaxBytes map[PruneKind]int64
	// Runs that have not ended, and the digests of the environments that they
	// want: what is theirs stays.
	Runs         []string
	Environments []string
	// NotWithin: nothing is done on a target that was pruned in that time.
	NotWithin time.Duration
	// DryRun: nothing is done, only said.
	DryRun bool
}

// Freed is what was freed, or would be, of one kind.
type Freed struct {
	Kind  PruneKind `json:"kind"`
	Count int       `json:"count"`
	Bytes int64     `json:"bytes"`
	// Names of what people name: runs, environments' digests.
	Names []string `json:"names,omitempty"`
}
