package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/provision"
)

// onMachine are the kinds that the machine itself frees, by what it calls them.
// On this computer snapshots and what is left of runs are our own store's.
var onMachine = map[backends.PruneKind]onhost.Part{
	backends.PruneSnapshots: onhost.Snapshots, backends.PruneInputs: onhost.Inputs,
	backends.PruneCheckpoints: onhost.RunDirectories, backends.PrunePrograms: onhost.Programs,
	backends.PruneCopies: onhost.Copies,
}

// Prune frees what nothing on the machine needs any more.
func (m *Machine) Prune(ctx context.Context, p backends.Pruning) ([]backends.Freed, error) {
	freed, skipped, busy, err := m.pruneThere(ctx, p)
	if err != nil {
		return freed, m.failure(fmt.Errorf("prune: %w", err))
	}
	if skipped {
		return freed, nil
	}
	more, err := m.pruneEnvironments(ctx, p, busy)
	freed = append(freed, more...)
	if err != nil {
		return freed, m.failure(fmt.Errorf("prune: %w", err))
	}
	return freed, nil
}

// pruneThere is what is done by our program on the machine. busy are the
// environments that processes run from which are not ours.
func (m *Machine) pruneThere(ctx context.Context, p backends.Pruning) (freed []backends.Freed, skipped bool, busy []string, err error) {
	ask := onhost.Pruning{
		OlderThan: p.OlderThan, Runs: p.Runs, Installation: m.config.Installation, Bin: m.bin, NotWithin: p.NotWithin, DryRun: p.DryRun,
		MaxBytes: map[onhost.Part]int64{},
	}
	kinds := map[onhost.Part]backends.PruneKind{}
	for _, kind := range p.Kinds {
		part, ok := onMachine[kind]
		if !ok || m.local && (kind == backends.PruneSnapshots || kind == backends.PruneCheckpoints) {
			continue
		}
		ask.Parts, kinds[part] = append(ask.Parts, part), kind
		if most := p.MaxBytes[kind]; most > 0 {
			ask.MaxBytes[part] = most
		}
	}
	prune := onhost.Prune
	if m.remote != nil {
		prune = m.remote.client.Prune
	}
	done, err := prune(ctx, string(m.layout), ask)
	for _, f := range done.Freed {
		freed = append(freed, backends.Freed{Kind: kinds[f.Part], Count: f.Count, Bytes: f.Bytes})
	}
	return freed, done.Skipped, done.Busy, err
}

func (m *Machine) pruneEnvironments(ctx context.Context, p backends.Pruning, busy []string) ([]backends.Freed, error) {
	directories, images := slices.Contains(p.Kinds, backends.PruneEnvironments), slices.Contains(p.Kinds, backends.PruneImages)
	if !directories && !images {
		return nil, nil
	}
	policy := provision.Policy{
		Before: time.Now().Add(-p.OlderThan), DryRun: p.DryRun, Keep: map[string]bool{}, SkipDirectories: !directories, SkipImages: !images,
		MaxDirectories: p.MaxBytes[backends.PruneEnvironments], MaxImages: p.MaxBytes[backends.PruneImages],
	}
	for _, digest := range p.Environments {
		policy.Keep[digest] = true
	}
	for _, name := range busy {
		hex, _, _ := strings.Cut(name, ".") // of its making, too
		policy.Keep["sha256:"+hex] = true
	}
	gone, err := m.environments.Prune(ctx, policy)
	made := backends.Freed{Kind: backends.PruneEnvironments}
	built, pulled := backends.Freed{Kind: backends.PruneImages}, backends.Freed{Kind: backends.PrunePulled}
	for _, i := range gone {
		f := &made
		switch {
		case i.Pulled:
			f = &pulled
		case i.Image != "":
			f = &built
		}
		f.Count++
		f.Bytes += i.Bytes
		f.Names = append(f.Names, i.Digest)
	}
	freed := slices.DeleteFunc([]backends.Freed{made, built, pulled}, func(f backends.Freed) bool { return f.Count == 0 })
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	return freed, err
}
