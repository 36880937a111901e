package server

import (
	"context"
	"io"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
)

// Service is what the server puts on the wire. A run's id may be given as a
// unique prefix or as "@last"; attempt zero is the last one.
type Service interface {
	Targets
	Secrets

	// Submit says with its second result whether the run is new, or was
	// submitted before under the same request id.
	Submit(ctx context.Context, s controller.Submission) (*run.Run, bool, error)
	// SubmitArray is Submit for many runs of one submission: all or none.
	SubmitArray(ctx context.Context, s controller.ArraySubmission) ([]run.Run, bool, error)
	Plan(ctx context.Context, s controller.Submission) (*controller.Plan, error)
	Run(ctx context.Context, id string) (*run.Run, error)
	List(ctx context.Context, f controller.Filter) ([]run.Run, error)
	Events(ctx context.Context, id string, after int) ([]run.Event, error)
	Cancel(ctx context.Context, id string) (*run.Run, error)
	// Watch tells a run's story after event number after. The channel is
	// closed when the run has ended or ctx is done.
	Watch(ctx context.Context, id string, after int) (<-chan controller.Notice, error)
	Logs(ctx context.Context, id string, q controller.LogQuery) (io.ReadCloser, error)
	Outputs(ctx context.Context, id string, attempt int) ([]controller.OutputFile, error)
	OpenOutput(ctx context.Context, id string, attempt int, path string) (*controller.Readable, error)
	RunLock(ctx context.Context, id string) (string, error)
	// CheckData reads some of what a path names where a run on the target would.
	CheckData(ctx context.Context, path, target string) (*controller.DataCheck, error)
	Prune(ctx context.Context, o controller.PruneOptions) (*controller.PruneReport, error)

	BuildEnvironment(ctx context.Context, e *environment.Resolved, name, registryPassword string,
		log io.Writer, progress func(controller.Progress)) (*controller.EnvironmentInfo, error)
	Environments(ctx context.Context) ([]controller.EnvironmentInfo, error)
	Environment(ctx context.Context, nameOrDigest string) (*controller.EnvironmentInfo, error)
	EnvironmentLock(ctx context.Context, nameOrDigest string) (string, error)
}

// Positioned is a log that knows where it begins: what Service.Logs returns
// for a tail or a time should be one, so that a follower that was cut off can
// go on at the right byte.
type Positioned interface {
	// Position is the attempt and the offset in its log of the first byte.
	Position() (attempt int, offset int64)
}
