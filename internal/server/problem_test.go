package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/internal/yamlpos"
)

func TestProblemOf(t *testing.T) {
	tests := []struct {
		name         string
		err          error
		want         server.Problem
		status, exit int
	}{
		{
			name:   "unknown run",
			err:    fmt.Errorf("get: %w", &store.NotFoundError{Kind: "run", Name: "x"}),
			want:   server.Problem{Code: "not_found", Message: `there is no run "x"`, Hint: "runner ps --all lists the runs"},
			status: 404, exit: 2,
		},
		{
			name:   "prefix that fits several",
			err:    &store.AmbiguousError{Prefix: "i", IDs: []string{"i-2", "i-1"}},
			want:   server.Problem{Code: "ambiguous", Message: `"i" fits several runs: i-2, i-1`, Hint: "give more of the id"},
			status: 409, exit: 2,
		},
		{
			name: "newer database",
			err:  &store.NewerError{Path: "/h/runner.db", Schema: 9, Knows: 1},
			want: server.Problem{
				Code: "unavailable", Message: "the database was made by a newer runner (schema 9, this one knows 1): /h/runner.db",
				Hint: "use that version; nothing was changed",
			},
			status: 503, exit: 3,
		},
		{
			name:   "impossible submission",
			err:    &controller.InvalidError{What: "asks for 9 GPUs", Where: "resources", Hint: "runner doctor"},
			want:   server.Problem{Code: "invalid", Message: "asks for 9 GPUs", Where: "resources", Hint: "runner doctor"},
			status: 400, exit: 2,
		},
		{
			name:   "unknown target",
			err:    &controller.UnknownTargetError{Name: "gpu", Known: []string{"vm", "local"}},
			want:   server.Problem{Code: "invalid", Message: `no compute target is named "gpu"`, Where: "compute_target", Hint: "known targets: local, vm"},
			status: 400, exit: 2,
		},
		{
			name:   "environment that could not be made",
			err:    fmt.Errorf("build: %w", &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Hint: "see above", Err: errors.New("pip failed")}),
			want:   server.Problem{Code: "environment_failed", Message: "build: pip failed", Hint: "see above"},
			status: 422, exit: 4,
		},
		{
			name:   "target that cannot be reached",
			err:    &backends.Failure{Outcome: run.OutcomeTargetUnreachable, Err: errors.New("no route")},
			want:   server.Problem{Code: "target_unreachable", Message: "no route"},
			status: 503, exit: 3,
		},
		{
			name: "links that lead out",
			err:  &snapshot.LinkError{Links: []snapshot.LeadingLink{{Path: "a", Target: "/etc"}}, Ignore: ".runnerignore"},
			want: server.Problem{
				Code: "invalid", Message: "symbolic links lead out of the source directory: a -> /etc",
				Hint: "exclude them in .runnerignore, or replace them with the files they lead to",
			},
			status: 400, exit: 2,
		},
		{
			name: "a spec with two faults",
			err: &yamlpos.Error{Problems: []yamlpos.Problem{
				{File: "job.yaml", Line: 1, Column: 2, Message: "unknown field", Hint: "did you mean"},
				{File: "job.yaml", Line: 3, Column: 4, Message: "not a number"},
			}},
			want: server.Problem{Code: "invalid", Message: "the spec is not valid", Problems: []server.Problem{
				{Code: "invalid", Message: "unknown field", Where: "job.yaml:1:2", Hint: "did you mean"},
				{Code: "invalid", Message: "not a number", Where: "job.yaml:3:4"},
			}},
			status: 400, exit: 2,
		},
		{
			name:   "interrupted",
			err:    fmt.Errorf("wait: %w", context.Canceled),
			want:   server.Problem{Code: "interrupted", Message: "interrupted"},
			status: 499, exit: 130,
		},
		{
			name:   "anything else",
			err:    errors.New("boom"),
			want:   server.Problem{Code: "internal", Message: "boom"},
			status: 500, exit: 5,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := server.ProblemOf(test.err)
			if diff := cmp.Diff(test.want, *got, cmpopts.IgnoreUnexported(server.Problem{})); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if got.Code.Status() != test.status || got.Code.Exit() != test.exit {
				t.Errorf("status %d, exit %d; want %d, %d", got.Code.Status(), got.Code.Exit(), test.status, test.exit)
			}
			if !errors.Is(got, test.err) {
				t.Error("the cause is lost")
			}
		})
	}
}
