package cluster

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Engine is a batch engine's own language. Its methods are safe for concurrent
// use. Errors are *backends.Failure when they say more than that it failed:
// one that is Temporary says that the engine does not answer now.
type Engine interface {
	// Check says what is wrong with a spec that the engine could never carry
	// out, or nil. It asks nobody.
	Check(a backends.Attempt) *backends.Invalid
	// Submit hands a job over and gives the engine's name for it.
	Submit(ctx context.Context, j Job) (id string, err error)
	// Jobs is what the engine knows of all our jobs, in one question. Those
	// that ended may be among them for a while.
	Jobs(ctx context.Context) ([]State, error)
	// Past is what the engine remembers of jobs that Jobs does not tell of any
	// more, by mark; it may remember none.
	Past(ctx context.Context, marks []Mark) ([]State, error)
	// Pool is the nodes that runs of the target can be given, in one question;
	// which runs are on them it does not say.
	Pool(ctx context.Context) (backends.Pool, error)
	// Terminate removes jobs that have not begun and sends SIGTERM to the first
	// process, and to it alone, of those that have. Those that ended are fine.
	Terminate(ctx context.Context, ids []string) error
	// Nodes says how a job starts something on each of its nodes.
	Nodes(count int) ranks.Nodes
	// Cancel ends jobs in the engine's own way.
	Cancel(ctx context.Context, ids []string) error
}

// Mark says whose a job is.
type Mark struct {
	Run    string
	Number int
}

func markOf(ref backends.Ref) Mark { return Mark{Run: ref.Run, Number: ref.Number} }

// Name of the job: it holds no blank, comma or other sign that engines mind.
func (m Mark) Name() string {
	return fmt.Sprintf("%s.%d", strings.ReplaceAll(url.PathEscape(m.Run), ",", "%2C"), m.Number)
}

// Text is what else tells it from jobs of others: the installation's name and
// the job's.
func (m Mark) Text(installation string) string { return "runner:" + installation + ":" + m.Name() }

// ParseMark reads Text.
func ParseMark(text string) (installation string, m Mark, ok bool) {
	rest, ours := strings.CutPrefix(text, "runner:")
	i := strings.LastIndexByte(rest, ':')
	dot := strings.LastIndexByte(rest, '.')
	if !ours || i < 0 || dot < i {
		return "", m, false
	}
	name, err := url.PathUnescape(rest[i+1 : dot])
	if err != nil {
		return "", m, false
	}
	m.Run = name
	if _, err := fmt.Sscanf(rest[dot+1:], "%d", &m.Number); err != nil {
		return "", m, false
	}
	return rest[:i], m, true
}

// Job is what an engine is asked to run: Argv on each of Nodes nodes' first,
// with all that the spec says.
type Job struct {
	Mark Mark
	// Argv of the job's first process, on its first node.
	Argv []string
	// Dir to begin in, and Log for what the engine says; both on the shared
	// file system.
	Dir, Log string
	// Config has resources, priorities, limits and the engine's own section.
	Config *runconfig.ScriptRunConfig
	// Limit of time that the engine keeps, longer than that of the script; zero:
	// the engine's own.
	Limit time.Duration
	// Grace between SIGTERM and SIGKILL at the end of the engine's limit.
	Grace time.Duration
}

// Phase is what an engine says of a job.
type Phase string

// The phases of a job.
const (
	Pending Phase = "pending"
	Running Phase = "running"
	// Ending: over, and being cleared away; how it ended is not told yet.
	Ending Phase = "ending"
	Ended  Phase = "ended"
)

// State is what an engine says of a job now.
type State struct {
	ID    string
	Mark  Mark
	Phase Phase
	// Word is the engine's own for its state, "PREEMPTED".
	Word string
	// Reason in words: why it waits, what ended it.
	Reason string
	// Outcome of one that Ended, when the engine had a hand in it; empty: the
	// first process ended by itself.
	Outcome run.Outcome
	// Node is its first node, Nodes are all that it has, or that are being
	// started for it.
	Node               string
	Nodes              []string
	StartedAt, EndedAt time.Time
	// Limit of time; zero: none.
	Limit time.Duration
}
