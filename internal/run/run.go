package run

import (
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/runconfig"
)

// Run is one submitted ScriptRunConfig and everything known of it. Its JSON is
// what `-o json` and the REST API give; the names are fixed.
type Run struct {
	// ID is sortable and readable: the experiment's slug and a time-ordered
	// suffix, for example "iris-01jd8k3v9q".
	ID          string `json:"id"`
	Experiment  string `json:"experiment"`
	DisplayName string `json:"display_name"`
	Target      string `json:"target"`
	State       State  `json:"state"`
	// Outcome is nil until the run ended.
	Outcome *Outcome `json:"outcome"`
	// ExitCode of the last attempt's script, as it was; nil when there is none.
	ExitCode *int `json:"exit_code"`
	// Signal that ended the script, for example "SIGSEGV", or empty.
	Signal string `json:"signal"`
	// Message is the reason in words: why the run waits, what it does, why it
	// failed.
	Message string `json:"message"`
	// Hint is what a person can do about it, or empty.
	Hint      string            `json:"hint,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	StartedAt *time.Time        `json:"started_at"`
	EndedAt   *time.Time        `json:"ended_at"`
	Tags      map[string]string `json:"tags"`
	// Snapshot is the digest of the source picture, "sha256:...".
	Snapshot string `json:"snapshot"`
	// Environment is the environment's digest, "sha256:...".
	Environment string    `json:"environment"`
	Attempts    []Attempt `json:"attempts"`

	Priority int `json:"priority"`
	// CancelRequestedAt is when somebody wished the run to end; nil: nobody.
	CancelRequestedAt *time.Time `json:"cancel_requested_at"`
	// RerunOf is the run this one repeats, or empty.
	RerunOf string `json:"rerun_of,omitempty"`
	// InputsFrom are the runs whose outputs are inputs of this one.
	InputsFrom []InputFrom `json:"inputs_from,omitempty"`

	// Script or Command, and Arguments, are those of Config, for lists, which
	// have no Config.
	Script    string   `json:"script,omitempty"`
	Command   string   `json:"command,omitempty"`
	Arguments []string `json:"arguments,omitempty"`

	Config              *runconfig.ScriptRunConfig `json:"config,omitempty"`
	ResolvedEnvironment *environment.Resolved      `json:"resolved_environment,omitempty"`
}

// InputFrom says that an input is what another run left.
type InputFrom struct {
	Input string `json:"input"`
	Run   string `json:"run"`
	// Path of what it left, below "outputs/" or "logs/".
	Path string `json:"path"`
}

// Attempt is one try at carrying a run out.
type Attempt struct {
	// Number counts from 1.
	Number  int      `json:"number"`
	State   State    `json:"state"`
	Outcome *Outcome `json:"outcome"`
	// ExitCode is the script's own; 128 + the signal's number for a signal.
	ExitCode *int   `json:"exit_code"`
	Signal   string `json:"signal"`
	Message  string `json:"message"`
	// Hint is what a person can do about it, or empty.
	Hint string `json:"hint,omitempty"`
	// Node is the machine (or the engine's node) that carried it out.
	Node string `json:"node"`
	// Handle is the backend's own reference; opaque.
	Handle string `json:"handle"`
	// StartedAt is when the script began; EndedAt when it ended.
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	// GrantedAt is when the queue gave it a slot.
	GrantedAt *time.Time `json:"granted_at"`
	// Allocation is what it holds of its target.
	Allocation Allocation `json:"allocation"`
	// StopAt is when the attempt was told to stop; nil: not.
	StopRequestedAt *time.Time `json:"stop_requested_at,omitempty"`
	// StopFor is why it was told to stop: OutcomeCanceled or OutcomePreempted.
	StopFor Outcome `json:"stop_for,omitempty"`
	// Collected says that outputs and logs are home.
	Collected bool `json:"collected"`
}

// Allocation is the share of a target that an attempt holds.
type Allocation struct {
	CPUs float64 `json:"cpus"`
	// Memory in bytes; zero: none reserved.
	Memory int64 `json:"memory"`
	// GPUs by id as the driver names them (an index, a UUID, or a MIG UUID).
	GPUs []string `json:"gpus,omitempty"`
}

// Event is one line of a run's story.
type Event struct {
	// Seq counts from 1 within the run.
	Seq     int       `json:"seq"`
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	// From and To are equal for a remark that changes no state.
	From State  `json:"from"`
	To   State  `json:"to"`
	Why  string `json:"why"`
}

// Last returns the newest attempt, or nil when there is none yet.
func (r *Run) Last() *Attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}
