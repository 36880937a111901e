package machine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/provision"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

// remote is what a machine needs that is not this computer.
type remote struct {
	client *onhost.Client
	// bulk has a session of its own for each stream.
	bulk     *onhost.Client
	unpacker *onhost.Unpacker

	mu     sync.Mutex
	pruned time.Time
}

func newRemote(c Config, direct host.Host, bin string, l layout) *remote {
	client := onhost.New(c.Host, bin, c.unreachable)
	return &remote{
		client:   client,
		bulk:     onhost.New(direct, bin, c.unreachable),
		unpacker: &onhost.Unpacker{Client: client, Store: c.Store, Dir: path.Join(string(l), onhost.ObjectsDir)},
	}
}

// unreachable reports whether err says that the host cannot be asked now.
func (m *Machine) unreachable(err error) bool { return m.config.unreachable(err) }

func (c Config) unreachable(err error) bool {
	return err != nil && (errors.Is(err, onhost.ErrCut) || c.Unreachable != nil && c.Unreachable(err))
}

// failure says whose fault an error is. That the host cannot be reached ends
// nothing: it is tried again.
func (m *Machine) failure(err error) error {
	if m.unreachable(err) && !errors.Is(err, context.Canceled) {
		return &backends.Failure{
			Outcome: run.OutcomeTargetUnreachable, Temporary: true, Err: err,
			Hint: "is the machine running, and the network up? It is tried again",
		}
	}
	return provision.FailureOf(err)
}

// unknown is the answer of a host that cannot be asked now.
func unknown(refs []backends.Ref, err error) []backends.Observation {
	seen := make([]backends.Observation, len(refs))
	for i, ref := range refs {
		seen[i] = backends.Observation{Phase: backends.Unknown, Handle: ref.Handle, Reason: err.Error()}
	}
	return seen
}

// Prune frees snapshots and inputs on a machine that is not this computer which
// no attempt there has and nobody used for so long, and programs of ours that
// are no longer needed.
func (m *Machine) Prune(ctx context.Context, older time.Duration, dry bool) (onhost.Pruned, error) {
	if m.remote == nil {
		return onhost.Pruned{}, nil // here they are the store's own
	}
	freed, err := m.remote.client.Prune(ctx, string(m.layout), older, dry)
	if err != nil {
		return freed, m.failure(err)
	}
	if dry {
		return freed, nil
	}
	// What runs was started by one of them, and could not be asked without it.
	if refs, err := m.Marks(ctx); err != nil || len(refs) > 0 {
		return freed, err
	}
	if err := supervise.PruneBins(ctx, m.host, m.bin); err != nil {
		return freed, m.failure(fmt.Errorf("prune: %w", err))
	}
	return freed, nil
}

const (
	// pruneEvery is how often a machine is pruned by itself, and keptFor how
	// long what nobody uses stays there.
	pruneEvery = 24 * time.Hour
	keptFor    = 30 * 24 * time.Hour
	// pruneLimit is how long that may keep a release waiting.
	pruneLimit = 10 * time.Second
)

// pruneOnce prunes a machine that was not for a day. That it cannot be done
// now is no harm: the next day comes.
func (m *Machine) pruneOnce(ctx context.Context) {
	m.remote.mu.Lock()
	due := time.Since(m.remote.pruned) > pruneEvery
	if due {
		m.remote.pruned = time.Now()
	}
	m.remote.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pruneLimit)
	defer cancel()
	_, _ = m.Prune(ctx, keptFor, false)
}
