package cluster

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
)

// DefaultPoll is how often an engine is asked at most. Those who run clusters
// mind being asked every second.
const DefaultPoll = 5 * time.Second

// Options of a cluster.
type Options struct {
	// Host is where the engine is spoken to. Its root lies on a file system that
	// the compute nodes see under the same path. Whoever opened it closes it,
	// after the backend.
	Host host.Host
	// Engine of the cluster.
	Engine Engine
	// Installation is this RUNNER_HOME's own name: jobs carry it.
	Installation string
	// Snapshots is where sources and inputs are sent from.
	Snapshots *snapshot.Store
	// Images are the base images that "cpu" and "gpu" name; nil: the built-in ones.
	Images []environment.BaseImage
	// MaxLog is how many bytes of an attempt's output are kept; zero: the default.
	MaxLog int64
	// Credential gives the right to read a storage account; nil: there is none.
	Credential func(ctx context.Context, account string) (blob.Credential, error)
	// Here is a root on this computer, for data that the cluster cannot fetch
	// itself; empty: nothing goes this way.
	Here string
	// Programs has our program for hosts of other platforms; nil: there is none.
	Programs *program.Finder
	// Opening hears how far New is; it may be nil.
	Opening backends.Progress
	// Unreachable reports whether an error of Host says that it cannot be asked
	// now; nil: none does.
	Unreachable func(error) bool
	// Poll is how often the engine is asked at most; zero: DefaultPoll.
	Poll time.Duration
}

// Backend is a cluster. Close it.
type Backend struct {
	files        *machine.Machine
	engine       Engine
	board        *board
	pool         poolView
	installation string

	mu    sync.Mutex
	locks map[Mark]*markLock
}

// A cluster is no backends.Sizer: its engine queues.
var (
	_ backends.Backend           = (*Backend)(nil)
	_ backends.Watcher           = (*Backend)(nil)
	_ backends.Sweeper           = (*Backend)(nil)
	_ backends.LogFinder         = (*Backend)(nil)
	_ backends.EnvironmentKeeper = (*Backend)(nil)
	_ backends.Planner           = (*Backend)(nil)
	_ backends.Checker           = (*Backend)(nil)
	_ backends.Pruner            = (*Backend)(nil)
	_ backends.DataChecker       = (*Backend)(nil)
	_ backends.Pooled            = (*Backend)(nil)
)

// New opens the backend: our program is put on the shared file system, if it
// is not there.
func New(ctx context.Context, o Options) (*Backend, error) {
	if o.Poll == 0 {
		o.Poll = DefaultPoll
	}
	m, err := machine.New(ctx, machine.Config{
		Host: o.Host, Installation: o.Installation, Store: o.Snapshots, Programs: o.Programs, Images: o.Images, MaxLog: o.MaxLog, Unreachable: o.Unreachable,
		Jobs: true, Nodes: o.Engine.Nodes,
		Credential: o.Credential, Here: o.Here, Opening: o.Opening,
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return &Backend{files: m, engine: o.Engine, board: newBoard(o.Engine, o.Poll), installation: o.Installation, locks: map[Mark]*markLock{}}, nil
}

// Close ends what goes on in the background. Jobs go on.
func (b *Backend) Close() error { return b.files.Close() }

// Prepare makes the attempt's directory, and its environment, on the shared
// file system.
func (b *Backend) Prepare(ctx context.Context, a backends.Attempt, p backends.Progress) error {
	return b.files.Prepare(ctx, a, p)
}

// Check refuses what the engine, or a cluster, could never carry out.
func (b *Backend) Check(a backends.Attempt) *backends.Invalid {
	if e := a.Environment; e != nil {
		containers := []environment.Kind{environment.Image, environment.ImageBuild, environment.Dockerfile}
		if slices.Contains(containers, e.Kind) {
			return &backends.Invalid{
				What: "a cluster runs no Docker containers", Where: "environment.docker",
				Hint: "use environment.python, or call the site's own container program (apptainer) in command",
			}
		}
	}
	return b.engine.Check(a)
}

// Watch says when a supervisor's files changed, as far as the shared file
// system tells.
func (b *Backend) Watch(ctx context.Context, changed func(backends.Ref)) error {
	return b.files.Watch(ctx, changed)
}

// Marks lists the attempts that are on the shared file system.
func (b *Backend) Marks(ctx context.Context) ([]backends.Ref, error) { return b.files.Marks(ctx) }

// LogOffset finds where the last lines, or what was written since, begin.
func (b *Backend) LogOffset(ctx context.Context, ref backends.Ref, node, tail int, since time.Time) (int64, error) {
	return b.files.LogOffset(ctx, ref, node, tail, since)
}

// EnsureEnvironment makes an environment unless it is there.
func (b *Backend) EnsureEnvironment(ctx context.Context, env *environment.Resolved, registryPassword string, p backends.Progress, log io.Writer) error {
	return b.files.EnsureEnvironment(ctx, env, registryPassword, p, log)
}

// HasEnvironment reports whether it is there.
func (b *Backend) HasEnvironment(ctx context.Context, env *environment.Resolved) (bool, error) {
	return b.files.HasEnvironment(ctx, env)
}

// EnvironmentLock is the text of exact versions.
func (b *Backend) EnvironmentLock(ctx context.Context, env *environment.Resolved) (string, error) {
	return b.files.EnvironmentLock(ctx, env)
}

// Environments lists what is there.
func (b *Backend) Environments(ctx context.Context) ([]backends.MadeEnvironment, error) {
	return b.files.Environments(ctx)
}

// RemoveEnvironment takes it away unless an attempt has it.
func (b *Backend) RemoveEnvironment(ctx context.Context, digest string) error {
	return b.files.RemoveEnvironment(ctx, digest)
}

// CheckData reads some of an input where it would be fetched: at the login node.
func (b *Backend) CheckData(ctx context.Context, in runconfig.Input) ([]backends.DataReading, error) {
	return b.files.CheckData(ctx, in)
}

// Prune frees what nothing there needs any more.
func (b *Backend) Prune(ctx context.Context, p backends.Pruning) ([]backends.Freed, error) {
	return b.files.Prune(ctx, p)
}

// Plan says what Prepare and Start would do.
func (b *Backend) Plan(ctx context.Context, a backends.Attempt) (backends.Plan, error) {
	return b.files.Plan(ctx, a)
}

// Collect brings outputs/ and logs/ home.
func (b *Backend) Collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	seen, err := b.observe(ctx, []backends.Ref{ref})
	if err != nil {
		return fmt.Errorf("collect %s: %w", markOf(ref).Name(), b.files.Failure(err))
	}
	if p := seen[0].Phase; p == backends.Running || p == backends.Pending {
		return backends.ErrStillRuns
	}
	return b.files.Collect(ctx, ref, sink)
}

// markLock lets one verb at a time change an attempt.
type markLock struct {
	sync.Mutex
	users int
}

// lock waits for the attempt; call the result when done.
func (b *Backend) lock(m Mark) (unlock func()) {
	b.mu.Lock()
	l := b.locks[m]
	if l == nil {
		l = &markLock{}
		b.locks[m] = l
	}
	l.users++
	b.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(b.locks, m)
		}
	}
}
