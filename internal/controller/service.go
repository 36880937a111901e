package controller

import (
	"io"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Submission is a run that somebody wants. Its environment is resolved and its
// snapshot is in our store already.
type Submission struct {
	// RequestID is made by whoever submits, once a run: the same id again
	// gives the first run back.
	RequestID   string                     `json:"request_id"`
	Config      *runconfig.ScriptRunConfig `json:"config"`
	Environment *environment.Resolved      `json:"environment"`
	// Snapshot is the digest of the source.
	Snapshot string `json:"snapshot"`
	// Secrets by name. Sealed before they are stored.
	Secrets map[string]string `json:"secrets,omitempty"`
	// RegistryPassword of Environment.Docker.Registry. Sealed like secrets.
	RegistryPassword string `json:"registry_password,omitempty"`
	// RerunOf is the run that this one repeats, or empty.
	RerunOf string `json:"rerun_of,omitempty"`
}

// ArraySubmission is many runs of one submission. Its config has no array any
// more: Arguments are what each run is given behind the config's own.
type ArraySubmission struct {
	Submission
	Arguments [][]string `json:"arguments"`
}

// Plan is what a submission would do, for --dry-run.
type Plan struct {
	Target string `json:"target"`
	// Environment's digest, kind, and whether the target has it already.
	Environment       string `json:"environment"`
	EnvironmentKind   string `json:"environment_kind"`
	EnvironmentCached bool   `json:"environment_cached"`
	// Image that the script would run in, or empty.
	Image string `json:"image,omitempty"`
	// Command is the script's argv.
	Command []string `json:"command"`
}

// Filter chooses runs for a listing.
type Filter struct {
	Experiment string
	Target     string
	States     []run.State
	Tags       map[string]string
	// Active leaves out those that have ended.
	Active bool
	// Limit on their number; zero: all.
	Limit int
}

// LogQuery chooses a part of a run's log.
type LogQuery struct {
	// Attempt by number; zero: the last one.
	Attempt int
	Node    int
	// Follow waits for more until the run (or the chosen attempt) has ended.
	// With Attempt zero it goes on into later attempts.
	Follow bool
	// Offset in bytes to begin at; of the attempt's log.
	Offset int64
	// Tail is how many last lines to begin with; negative: all.
	Tail int
	// Since leaves out what was written before.
	Since time.Time
}

// Notice is one item of a run's live story: exactly one field is set.
type Notice struct {
	// Event is a change of state or a remark.
	Event *run.Event `json:"event,omitempty"`
	// Progress of a preparation; not kept.
	Progress *Progress `json:"progress,omitempty"`
	// Remark is what is true of the run at this moment and not kept: that its
	// target does not answer, that a step is tried again. Empty: no longer.
	Remark *string `json:"remark,omitempty"`
	// Run as it is now: first of all, whenever its state changed, and last of
	// all when it has ended.
	Run *run.Run `json:"run,omitempty"`
}

// Progress is how far one step of a preparation is (backends.Step).
type Progress struct {
	Step   string `json:"step"`
	Detail string `json:"detail"`
	Done   int64  `json:"done"`
	Total  int64  `json:"total"`
	// Unit is "B" for bytes, empty for plain counts.
	Unit string `json:"unit,omitempty"`
}

func progressOf(s backends.Step) Progress {
	return Progress{Step: s.Name, Detail: s.Detail, Done: s.Done, Total: s.Total, Unit: s.Unit}
}

// OutputFile is one thing that a run left.
type OutputFile struct {
	// Path begins with "outputs/" or "logs/".
	Path string `json:"path"`
	// Size in bytes.
	Size int64  `json:"size"`
	Mode uint32 `json:"mode"`
	// Digest is "sha256:" and the hexadecimal SHA-256 of the content; empty for
	// links, directories, and what cannot be read just now.
	Digest string `json:"digest,omitempty"`
	// Link is the target of a symbolic link, else empty.
	Link string `json:"link,omitempty"`
	Dir  bool   `json:"dir,omitempty"`
}

// EnvironmentInfo is what is known of an environment.
type EnvironmentInfo struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Kind   string `json:"kind"`
	// Made says whether it is on this computer now.
	Made      bool                  `json:"made"`
	Bytes     int64                 `json:"bytes"`
	CreatedAt *time.Time            `json:"created_at"`
	UsedAt    *time.Time            `json:"used_at"`
	Resolved  *environment.Resolved `json:"resolved,omitempty"`
	// InUseBy are runs that have not ended and want it.
	InUseBy []string `json:"in_use_by,omitempty"`
}

// Readable is an open output.
type Readable struct {
	OutputFile
	// Modified last, where it was made. Zero: unknown.
	Modified time.Time
	io.ReadSeekCloser
}
