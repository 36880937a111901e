package server

import (
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
)

// AgentInfo is the handshake: who answers.
type AgentInfo struct {
	Version string `json:"version"`
	// Build identifies the executable, so that an upgraded command knows an
	// agent that is not of its own build.
	Build     string    `json:"build"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	// Schema is the version of the database that the agent has open.
	Schema int `json:"schema"`
	// Foreground tells that somebody started it by hand: no command replaces
	// it by itself.
	Foreground bool `json:"foreground"`
	// Docker is the engine that was named to the agent, by config.yaml or by
	// DOCKER_HOST of whoever started it; empty: it looks in the usual places.
	Docker string `json:"docker,omitempty"`
}

// BuildRequest asks for an environment to be made.
type BuildRequest struct {
	Environment      *environment.Resolved `json:"environment"`
	Name             string                `json:"name,omitempty"`
	RegistryPassword string                `json:"registry_password,omitempty"`
}

// BuildItem is one line of the answer to a BuildRequest: exactly one field is
// set. Environment or Error is the last.
type BuildItem struct {
	Log         []byte                      `json:"log,omitempty"`
	Progress    *controller.Progress        `json:"progress,omitempty"`
	Environment *controller.EnvironmentInfo `json:"environment,omitempty"`
	Error       *Problem                    `json:"error,omitempty"`
}

// PruneRequest asks to free what nothing needs any more.
type PruneRequest struct {
	// OlderThan in seconds.
	OlderThan float64 `json:"older_than"`
	// KeepLast runs of each experiment stay.
	KeepLast int `json:"keep_last,omitempty"`
	// States that runs ended in; none: all.
	States []run.State `json:"states,omitempty"`
	// Target to free things on; empty: all.
	Target string `json:"target,omitempty"`
	DryRun bool   `json:"dry_run"`
}

// DataCheckRequest asks whether data can be read.
type DataCheckRequest struct {
	Path string `json:"path"`
	// Target that would read it.
	Target string `json:"target"`
}

// Text is an answer that is one text, for example a lock.
type Text struct {
	Text string `json:"text"`
}

// Names of our own HTTP headers and trailers.
const (
	// HeaderAttempt and HeaderOffset say where a log begins.
	HeaderAttempt = "Runner-Log-Attempt"
	HeaderOffset  = "Runner-Log-Offset"
	// TrailerError holds a Problem that came in the middle of a stream.
	TrailerError = "Runner-Error"
	// HeaderVersion is the version of whoever answers.
	HeaderVersion = "Runner-Version"
)
