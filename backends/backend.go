package backends

import (
	"context"
	"io"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Backend is the door to one compute target. All methods are safe for
// concurrent use and may be called again, for the same attempt, after a crash
// at any point. Errors that say whose fault it is are *Failure.
type Backend interface {
	// Prepare makes environment, source and inputs ready on the target. It may
	// take minutes; it reports to p and stops when ctx ends, leaving nothing
	// half-done that a later Prepare would trust.
	Prepare(ctx context.Context, a Attempt, p Progress) error
	// Start begins the attempt. The same attempt again finds the first one and
	// returns its handle. The attempt outlives ctx and this process.
	Start(ctx context.Context, a Attempt) (Handle, error)
	// Observe says what the target says now of all refs, in one question. The
	// answer has the same length and order. An error means that the target
	// could not be asked at all.
	Observe(ctx context.Context, refs []Ref) ([]Observation, error)
	// Logs reads what the attempt wrote from byte offset on. Without
	// Source.Follow it ends at what is there now; with it, it blocks for more
	// until the attempt's log is complete or ctx ends. An attempt that has not
	// started has an empty log.
	Logs(ctx context.Context, ref Ref, src Source, offset int64) (io.ReadCloser, error)
	// Stop asks the attempt to end: SIGTERM to all of it, SIGKILL after grace.
	// It returns once the wish is with the target, not when the attempt ended.
	// Stopping what has ended, or never was, is fine.
	Stop(ctx context.Context, ref Ref, grace time.Duration) error
	// Collect brings outputs/ and logs/ (and the log that the attempt wrote,
	// as logs/std_log.txt) home into sink. Safe to repeat. Of what still runs it
	// is ErrStillRuns.
	Collect(ctx context.Context, ref Ref, sink artifact.Sink) error
	// Release removes all that is left of the attempt on the target: process,
	// container, directory. What belongs to the run (its checkpoint directory)
	// or to all (environments, snapshots) stays. Safe to repeat.
	Release(ctx context.Context, ref Ref) error
}

// Handle is a backend's own word for a started attempt. It survives restarts
// of everything; only the backend reads it.
type Handle string

// Ref names an attempt to its backend. Handle is empty when Start's answer was
// lost or never came: the backend then looks for the mark of run and number.
type Ref struct {
	Run    string
	Number int
	Handle Handle
}

// Source is which of an attempt's logs is meant.
type Source struct {
	// Node counts from 0.
	Node int
	// Follow waits for what is yet to be written.
	Follow bool
}

// Attempt is all that a backend needs to carry an attempt out.
type Attempt struct {
	Run        string
	Number     int
	Experiment string
	Config     *runconfig.ScriptRunConfig
	// Environment is nil only for tests of the process itself: then the
	// command runs as it is.
	Environment *environment.Resolved
	// Snapshot is the digest of the source, "sha256:...".
	Snapshot   string
	Allocation run.Allocation
	// Secrets by name. They reach the script's environment and nothing else.
	Secrets map[string]string
	// RegistryPassword for Environment.Docker.Registry, when it has one.
	RegistryPassword string
}

// Ref of the attempt, without a handle.
func (a Attempt) Ref() Ref { return Ref{Run: a.Run, Number: a.Number} }

// Phase is what a target says of an attempt.
type Phase string

// The phases. Unknown is never the same as ended: the target could not tell.
const (
	// Absent: the target can tell, and has nothing by that mark.
	Absent  Phase = "absent"
	Pending Phase = "pending"
	Running Phase = "running"
	Ended   Phase = "ended"
	Unknown Phase = "unknown"
)

// Observation is what the target says of one attempt now.
type Observation struct {
	Phase Phase
	// Reason in the engine's own words: why it is pending, what ended it.
	Reason string
	// Handle, for a ref that came without one.
	Handle Handle
	Node   string
	// Story is what its engine calls it and where it shows it, worth a line in the
	// run's story; empty: nothing.
	Story string
	// Adrift: it runs, and whoever followed it on the target is gone; see Resumer.
	Adrift bool
	// Outcome when Phase is Ended, already mapped. OutcomeCanceled means that
	// Stop ended it; whoever asked for the stop knows what for.
	Outcome run.Outcome
	// ExitCode as the script left it; 128 + number for a signal. Nil: unknown.
	ExitCode *int
	// Signal that ended it, for example "SIGSEGV".
	Signal    string
	StartedAt time.Time
	EndedAt   time.Time
}

// Progress receives the steps of a preparation. It may be called from several
// goroutines and must not block. Nil is allowed; use Report.
type Progress func(Step)

// Report calls p when there is one.
func (p Progress) Report(s Step) {
	if p != nil {
		p(s)
	}
}

// Step is how far one step of a preparation is.
type Step struct {
	// Name in a word or two: "source", "environment", "image".
	Name string
	// Detail is a line for a person, for example "pip: installing 6 packages".
	Detail string
	// Done and Total in Unit; Total 0 means unknown.
	Done, Total int64
	// Unit is "B" for bytes, "" for plain counts.
	Unit string
}
