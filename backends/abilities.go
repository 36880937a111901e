package backends

import (
	"context"
	"io"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
)

// Watcher is a backend that says when something changed, so that nobody has
// to ask often. Watch calls changed for an attempt that may have changed (a
// Ref with an empty Run: any of them) and returns when ctx ends or when it can
// watch no more; changed must not block.
type Watcher interface {
	Watch(ctx context.Context, changed func(Ref)) error
}

// Sizer is a backend whose target has a size of its own, so that our queue
// fills it. A backend without it has an engine that queues.
type Sizer interface {
	Size(ctx context.Context) (Size, error)
}

// Size is what a target has to give.
type Size struct {
	CPUs float64
	// Memory in bytes.
	Memory int64
	GPUs   []GPU
}

// GPU is one device, or one MIG instance of it.
type GPU struct {
	// ID as the driver takes it in CUDA_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES.
	ID string
	// Vendor is "nvidia" or "amd".
	Vendor string
	// Name of the model, for example "NVIDIA H100 80GB HBM3".
	Name string
	// Memory in bytes; zero: unknown.
	Memory int64
}

// Sweeper is a backend that can list what it finds of ours on its target, so
// that what no run owns any more is released.
type Sweeper interface {
	Marks(ctx context.Context) ([]Ref, error)
}

// Saver is a backend that can bring home what a running attempt has left so
// far. (internal/machine offers it.)
type Saver interface {
	// Save stores what changed in outputs/, logs/ and the run's checkpoint
	// directory. A file that is being written comes the next time. Safe to
	// repeat; what has ended, or was released, is fine.
	Save(ctx context.Context, ref Ref, attempt, checkpoint artifact.Folder) error
	// Restore fills the run's checkpoint directory on the target from what was
	// saved, if there is nothing in it.
	Restore(ctx context.Context, run string, checkpoint artifact.Folder) error
}

// Viewer is a backend that can show what an attempt has in outputs/ and logs/
// while it runs. (internal/machine offers it.)
type Viewer interface {
	// View is that directory as it is now, only to be read; nil: it is not on this
	// computer. Nothing is asked: the attempt may not be there any more.
	View(ref Ref) View
}

// View is a folder whose files may grow.
type View interface {
	artifact.Folder
	// DigestFirst is the SHA-256 of a file's first bytes: artifact.ErrChanged when
	// it has fewer.
	DigestFirst(ctx context.Context, name string, size int64) ([]byte, error)
}

// LogFinder is a backend that can find places in an attempt's log without
// reading all of it.
type LogFinder interface {
	// LogOffset is the byte offset of the first line among the last tail lines
	// (tail < 0: of all) that was written at or after since (zero: ever).
	LogOffset(ctx context.Context, ref Ref, node, tail int, since time.Time) (int64, error)
}

// EnvironmentKeeper is a backend that makes and keeps environments on its
// target, named by their digests. (internal/machine offers it.)
type EnvironmentKeeper interface {
	// EnsureEnvironment makes it unless it is there. What the tools say goes
	// to log.
	EnsureEnvironment(ctx context.Context, env *environment.Resolved, registryPassword string, p Progress, log io.Writer) error
	HasEnvironment(ctx context.Context, env *environment.Resolved) (bool, error)
	// EnvironmentLock is the text of exact versions; empty for an interpreter
	// or image that is used as it is and pins nothing.
	EnvironmentLock(ctx context.Context, env *environment.Resolved) (string, error)
	// Environments lists what is there.
	Environments(ctx context.Context) ([]MadeEnvironment, error)
	// RemoveEnvironment by digest; one that is not there is fine.
	RemoveEnvironment(ctx context.Context, digest string) error
}

// MadeEnvironment is an environment on a target.
type MadeEnvironment struct {
	Digest string
	Kind   environment.Kind
	Bytes  int64
	MadeAt time.Time
	UsedAt time.Time
}

// Checker is a backend that can refuse at once, from the spec alone, what it
// could never carry out.
type Checker interface {
	// Check returns nil or an *Invalid. It asks nobody.
	Check(a Attempt) *Invalid
}

// Planner is a backend that can say what it would do, for --dry-run, without
// doing it.
type Planner interface {
	Plan(ctx context.Context, a Attempt) (Plan, error)
}

// Plan is what a backend would do for an attempt.
type Plan struct {
	// Command is the script's argv.
	Command []string
	// Image it would run in, or empty.
	Image string
	// Cached: the environment is made already.
	Cached bool
}

// Resumer is a backend whose attempts go on without those who follow them on the
// target, when these are killed: attempts that Observe calls adrift.
type Resumer interface {
	// Resume has the attempt followed again, from where that ended: nothing of it
	// is begun anew. One that is followed stays as it is.
	Resume(ctx context.Context, a Attempt) error
}
