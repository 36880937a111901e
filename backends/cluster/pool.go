package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
)

// poolView is what the engine said last of its nodes, and when it was asked.
// Whoever looks waits for one question at a time, and has its answer when the
// question was put after he came, or not longer ago than the pace allows.
type poolView struct {
	mu   sync.Mutex
	at   time.Time
	pool backends.Pool
	err  error
}

// Pool asks the engine for its nodes, and says which have runs of ours.
func (b *Backend) Pool(ctx context.Context) (backends.Pool, error) {
	pool, err := b.nodes(ctx)
	if err != nil {
		return backends.Pool{}, fmt.Errorf("ask for the nodes: %w", err)
	}
	on, err := b.board.onNodes(ctx)
	if err != nil {
		return backends.Pool{}, fmt.Errorf("ask for the runs on the nodes: %w", err)
	}
	pool.Nodes = slices.Clone(pool.Nodes)
	for i := range pool.Nodes {
		if pool.Nodes[i].Runs = on[pool.Nodes[i].Name]; pool.Nodes[i].Runs == nil {
			pool.Nodes[i].Runs = []string{}
		}
	}
	return pool, nil
}

func (b *Backend) nodes(ctx context.Context) (backends.Pool, error) {
	came := time.Now().Add(-b.board.every)
	v := &b.pool
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.at.After(came) {
		return v.pool, v.err
	}
	began := time.Now()
	pool, err := b.engine.Pool(ctx)
	if ctx.Err() != nil {
		return pool, err // of him who gave up, not of the engine
	}
	v.at, v.pool, v.err = began, pool, err
	return pool, err
}

// onNodes are our runs by the names of the nodes that their jobs have.
func (b *board) onNodes(ctx context.Context) (map[string][]string, error) {
	if err := b.ask(ctx, time.Now().Add(-b.every)); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	on := map[string][]string{}
	for mark, states := range b.jobs {
		for _, s := range states {
			if s.Phase == Ended {
				continue
			}
			for _, node := range s.Nodes {
				on[node] = append(on[node], mark.Run)
			}
		}
	}
	for node, runs := range on {
		slices.Sort(runs)
		on[node] = slices.Compact(runs)
	}
	return on, nil
}
