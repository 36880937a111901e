package backends

import (
	"context"

	"github.com/runnerml/runner/runconfig"
)

// DataChecker is a backend that can say whether data can be read, and how fast.
type DataChecker interface {
	CheckData(ctx context.Context, in runconfig.Input) ([]DataReading, error)
}

// DataReading is a try to read some of the data.
type DataReading struct {
	// Where it was read: the target's name, or "" for the computer that the
	// agent runs on. (A backend says "target"; the controller knows the name.)
	Where string `json:"where"`
	// Files and Bytes there are in all; Bytes -1: unknown.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Read bytes in so many Seconds, to see how fast it goes.
	Read    int64   `json:"read"`
	Seconds float64 `json:"seconds"`
	// Error is why it cannot be read there, or empty; Hint what to do.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// OnTarget is DataReading.Where of a backend that read on its target.
const OnTarget = "target"
