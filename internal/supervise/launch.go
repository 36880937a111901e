package supervise

import (
	"time"
)

// Launch is all that a supervisor needs to know of the process it keeps. It
// travels as JSON on the supervisor's standard input (or, into a container, in
// a file of mode 0600 that the supervisor removes as it reads it), because it
// may hold secrets.
type Launch struct {
	// Mark says whose process this is, "RUN.NUMBER"; it is also in the
	// environment of every process as RUNNER_MARK so that strays are found.
	Mark string   `json:"mark"`
	Argv []string `json:"argv"`
	// Env is the whole environment, "NAME=value".
	Env []string `json:"env"`
	// Inherit adds the supervisor's own environment below Env.
	Inherit bool   `json:"inherit,omitempty"`
	Dir     string `json:"dir"`
	// PathPrepend are directories put in front of PATH.
	PathPrepend []string `json:"path_prepend,omitempty"`
	// Needs are programs that must be in PATH, besides Argv's, or the process
	// is not started.
	Needs []Need `json:"needs,omitempty"`
	// PassesOn: the process passes signals on to those it started, each once.
	// It alone is told to end; when grace is over, all are killed as ever.
	PassesOn bool `json:"passes_on,omitempty"`
	// Elsewhere: the process only follows what runs elsewhere and goes on without
	// it. Told to end with no wish to stop (a machine that shuts down), it is
	// killed and the rest is not told.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Again starts the process in a directory where it was started before, and
	// has gone: its log goes on, and its time. One that is kept stays as it is.
	Again bool `json:"again,omitempty"`
	// MaxDuration of the process; zero: no limit.
	MaxDuration time.Duration `json:"max_duration,omitempty"`
	// Grace between SIGTERM and SIGKILL when MaxDuration is over.
	Grace time.Duration `json:"grace"`
	// Memory limit in bytes for the process and all its children; zero: none.
	Memory int64 `json:"memory,omitempty"`
	// EngineMemory is the limit in bytes that a container's engine keeps, for
	// words only; zero: none.
	EngineMemory int64 `json:"engine_memory,omitempty"`
	// CPUs limit; zero: none.
	CPUs float64 `json:"cpus,omitempty"`
	// MaxLog is how many bytes of output are kept; zero: DefaultMaxLog.
	MaxLog int64 `json:"max_log,omitempty"`
	// Redact are secret values that are replaced by *** in the log; of one with
	// several lines each line of 8 bytes or more is, too. Values of fewer than
	// 4 bytes are not.
	Redact []string `json:"redact,omitempty"`
}

// Need is a program that is looked for before the process is started.
type Need struct {
	Program string `json:"program"`
	// Hint is what a person can do when it is not there; may be empty.
	Hint string `json:"hint,omitempty"`
}

// DefaultMaxLog is how much of an attempt's output is kept: 10 GiB.
const DefaultMaxLog = 10 << 30

// Phase is what is known of a supervised process.
type Phase string

// The phases of a supervised process.
const (
	// Absent: nothing was started in that directory.
	Absent Phase = "absent"
	// Running: its supervisor lives.
	Running Phase = "running"
	// Ended: it ended and its supervisor wrote down how.
	Ended Phase = "ended"
	// Lost: it was started, its supervisor is gone and nothing says how it
	// ended. Rebooted tells whether the machine was started anew since.
	Lost Phase = "lost"
	// Unknown: its files cannot be read now; Message says why. Never the same
	// as lost or ended.
	Unknown Phase = "unknown"
)

// Cause is why a process ended, as its supervisor knows.
type Cause string

// The causes.
const (
	// Exited by itself, with a code or by a signal.
	Exited Cause = "exited"
	// OutOfMemory: killed for it (cgroup, the kernel's log, or our own limit).
	OutOfMemory Cause = "out_of_memory"
	// TimedOut: MaxDuration was over.
	TimedOut Cause = "timed_out"
	// Stopped: somebody asked for it (Stop), before it ended by itself.
	Stopped Cause = "stopped"
	// NotStarted: the program could not be started; Message says why.
	NotStarted Cause = "not_started"
)

// Status is what is known of a supervised process now.
type Status struct {
	Phase Phase  `json:"phase"`
	Mark  string `json:"mark,omitempty"`
	// PID of the process itself (not its supervisor).
	PID       int       `json:"pid,omitempty"`
	BootID    string    `json:"boot_id,omitempty"`
	Node      string    `json:"node,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Cause     Cause     `json:"cause,omitempty"`
	// ExitCode as it was; 128 + number for a signal.
	ExitCode int `json:"exit_code"`
	// Signal that ended it, for example "SIGSEGV".
	Signal   string `json:"signal,omitempty"`
	Message  string `json:"message,omitempty"`
	Rebooted bool   `json:"rebooted,omitempty"`
	// Terminated: the supervisor itself was told to end (SIGTERM) before the
	// process ended and nobody had asked for it with Stop: the machine is
	// being shut down, or somebody is ending what runs on it.
	Terminated bool `json:"terminated,omitempty"`
	// NoDirectory: there is not even a directory for it.
	NoDirectory bool `json:"no_directory,omitempty"`
	// LogBytes in the log so far.
	LogBytes int64 `json:"log_bytes"`
	// LogDropped are bytes of output that are not in the log: over MaxLog, or
	// written while the disk was full.
	LogDropped int64 `json:"log_dropped,omitempty"`
}
