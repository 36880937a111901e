package backends

import (
	"errors"

	"github.com/runnerml/runner/internal/run"
)

// ErrAgentEnds is the cause of the contexts that end because the agent does,
// not because anybody wants less: what outlives the agent is then left alone.
var ErrAgentEnds = errors.New("the agent ends")

// Invalid is an attempt that the target could never carry out: the request is
// wrong.
type Invalid struct {
	What string
	// Where in the spec: a field's path.
	Where string
	Hint  string
}

func (e *Invalid) Error() string { return e.What + ": " + e.Where }

// ErrStillRuns is a Collect of an attempt that has not ended: Stop it first, or
// wait.
var ErrStillRuns = errors.New("it still runs")

// Failure is an error that says how the attempt it stopped ends, and what a
// person can do. A plain error from a backend counts as an internal error.
type Failure struct {
	// Outcome for the attempt: environment_failed, target_unreachable ...
	Outcome run.Outcome
	// Hint is what to do, or empty.
	Hint string
	// Temporary: trying again may help.
	Temporary bool
	Err       error
}

func (f *Failure) Error() string { return f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }

// OutcomeOf says how an attempt ends that err stopped.
func OutcomeOf(err error) run.Outcome {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Outcome
	}
	return run.OutcomeInternalError
}

// IsTemporary reports whether trying again may help.
func IsTemporary(err error) bool {
	f, ok := errors.AsType[*Failure](err)
	return ok && f.Temporary
}

// HintOf is the hint of err, or empty.
func HintOf(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Hint
	}
	return ""
}
