package machine

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

func TestObservation(t *testing.T) {
	away := errors.New("engine does not answer")
	number := func(n int) *int { return &n }
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	exited := func(code int, s supervise.Status) supervise.Status {
		s.Phase, s.ExitCode = supervise.Ended, code
		if s.Cause == "" {
			s.Cause = supervise.Exited
		}
		return s
	}
	for _, c := range []struct {
		name string
		e    evidence
		want backends.Observation
	}{
		{
			"process: nothing there",
			evidence{form: process, sup: supervise.Status{Phase: supervise.Absent}},
			backends.Observation{Phase: backends.Absent},
		},
		{
			"process: running",
			evidence{form: process, sup: supervise.Status{Phase: supervise.Running, Node: "n"}},
			backends.Observation{Phase: backends.Running, Node: "n"},
		},
		{
			"process: completed",
			evidence{form: process, sup: exited(0, supervise.Status{})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeCompleted, ExitCode: number(0)},
		},
		{
			"process: failed",
			evidence{form: process, sup: exited(137, supervise.Status{})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeScriptFailed, ExitCode: number(137)},
		},
		{
			"process: by a signal",
			evidence{form: process, sup: exited(139, supervise.Status{Signal: "SIGSEGV"})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeScriptFailed, ExitCode: number(139), Signal: "SIGSEGV"},
		},
		{
			"process: timed out, ending well",
			evidence{form: process, sup: exited(0, supervise.Status{Cause: supervise.TimedOut})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeTimedOut, ExitCode: number(0)},
		},
		{
			"process: stopped",
			evidence{form: process, sup: exited(143, supervise.Status{Cause: supervise.Stopped, Signal: "SIGTERM"})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeCanceled, ExitCode: number(143), Signal: "SIGTERM"},
		},
		{
			"process: out of memory",
			evidence{form: process, sup: exited(137, supervise.Status{Cause: supervise.OutOfMemory, Signal: "SIGKILL"})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeOutOfMemory, ExitCode: number(137), Signal: "SIGKILL"},
		},
		{
			"process: not started",
			evidence{form: process, sup: exited(127, supervise.Status{Cause: supervise.NotStarted, Message: "python3: no such program"})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeEnvironmentFailed, Reason: "python3: no such program"},
		},
		{
			"process: the machine was going down",
			evidence{form: process, sup: exited(143, supervise.Status{Terminated: true, Signal: "SIGTERM"})},
			backends.Observation{
				Phase: backends.Ended, Outcome: run.OutcomeNodeLost, ExitCode: number(143), Signal: "SIGTERM",
				Reason: "the machine was being shut down, or somebody ended what ran on it",
			},
		},
		{
			"process: going down, and it completed",
			evidence{form: process, sup: exited(0, supervise.Status{Terminated: true})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeCompleted, ExitCode: number(0)},
		},
		{
			"process: lost by a reboot",
			evidence{form: process, sup: supervise.Status{Phase: supervise.Lost, Rebooted: true, Message: "started anew"}},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeNodeLost, Reason: "started anew"},
		},
		{
			"process: lost",
			evidence{form: process, sup: supervise.Status{Phase: supervise.Lost, Message: "nothing says how"}},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeInternalError, Reason: "nothing says how"},
		},
		{
			"container: starts",
			evidence{form: inContainer, sup: supervise.Status{Phase: supervise.Absent}, found: true, engine: container.State{Phase: container.Running}},
			backends.Observation{Phase: backends.Pending, Reason: "its container starts"},
		},
		{
			"container: engine away before it began",
			evidence{form: inContainer, sup: supervise.Status{Phase: supervise.Absent}, away: away},
			backends.Observation{Phase: backends.Unknown, Reason: away.Error()},
		},
		{
			"container: engine away while it runs",
			evidence{form: inContainer, sup: supervise.Status{Phase: supervise.Running}, away: away},
			backends.Observation{Phase: backends.Running},
		},
		{
			"container: engine away, completed",
			evidence{form: inContainer, sup: exited(0, supervise.Status{}), away: away},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeCompleted, ExitCode: number(0)},
		},
		{
			"container: engine away, failed: was it memory?",
			evidence{form: inContainer, sup: exited(1, supervise.Status{}), away: away},
			backends.Observation{Phase: backends.Unknown, Reason: away.Error()},
		},
		{
			"container: failed, engine not done with it",
			evidence{form: inContainer, sup: exited(1, supervise.Status{}), found: true, engine: container.State{Phase: container.Running}},
			backends.Observation{Phase: backends.Running},
		},
		{
			"container: failed",
			evidence{form: inContainer, sup: exited(1, supervise.Status{}), found: true, engine: container.State{Phase: container.Exited, ExitCode: 1}},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeScriptFailed, ExitCode: number(1)},
		},
		{
			"container: failed, and gone since",
			evidence{form: inContainer, sup: exited(1, supervise.Status{})},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeScriptFailed, ExitCode: number(1)},
		},
		{
			"container: out of memory",
			evidence{form: inContainer, sup: exited(1, supervise.Status{}), found: true, engine: container.State{Phase: container.Exited, OOMKilled: true}, limit: 96 << 20},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeOutOfMemory, ExitCode: number(1), Reason: "out of memory: the limit is 96 MiB"},
		},
		{
			"container: its supervisor did not start",
			evidence{
				form: inContainer, sup: supervise.Status{Phase: supervise.Absent}, found: true, output: "exec format error",
				engine: container.State{Phase: container.Exited, ExitCode: 126, FinishedAt: end},
			},
			backends.Observation{
				Phase: backends.Ended, Outcome: run.OutcomeEnvironmentFailed, EndedAt: end,
				Reason: "the container ended with exit code 126 before the script began: exec format error",
			},
		},
		{
			"container: canceled before its supervisor began",
			evidence{
				form: inContainer, sup: supervise.Status{Phase: supervise.Absent}, found: true, wished: true,
				engine: container.State{Phase: container.Exited, ExitCode: 137, FinishedAt: end},
			},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeCanceled, EndedAt: end},
		},
		{
			"container: killed from outside",
			evidence{
				form: inContainer, sup: supervise.Status{Phase: supervise.Lost}, found: true,
				engine: container.State{Phase: container.Exited, ExitCode: 137, FinishedAt: end},
			},
			backends.Observation{
				Phase: backends.Ended, Outcome: run.OutcomeInternalError, ExitCode: number(137), Signal: "SIGKILL", EndedAt: end,
				Reason: "its container was killed (exit code 137): nothing says how the script ended",
			},
		},
		{
			"container: killed by the engine after a wish",
			evidence{
				form: inContainer, sup: supervise.Status{Phase: supervise.Lost}, found: true, wished: true,
				engine: container.State{Phase: container.Exited, ExitCode: 137, FinishedAt: end},
			},
			backends.Observation{
				Phase: backends.Ended, Outcome: run.OutcomeCanceled, ExitCode: number(137), Signal: "SIGKILL", EndedAt: end,
				Reason: "its container was killed (exit code 137): nothing says how the script ended",
			},
		},
		{
			"container: supervisor killed for memory",
			evidence{
				form: inContainer, sup: supervise.Status{Phase: supervise.Lost}, found: true,
				engine: container.State{Phase: container.Exited, ExitCode: 137, OOMKilled: true, FinishedAt: end}, limit: 96 << 20,
			},
			backends.Observation{
				Phase: backends.Ended, Outcome: run.OutcomeOutOfMemory, ExitCode: number(137), Signal: "SIGKILL", EndedAt: end, Reason: "out of memory: the limit is 96 MiB",
			},
		},
		{
			"container: reboot",
			evidence{
				form: inContainer, sup: supervise.Status{Phase: supervise.Lost, Rebooted: true, Message: "started anew"}, found: true,
				engine: container.State{Phase: container.Exited, ExitCode: 255, FinishedAt: end},
			},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeNodeLost, ExitCode: number(255), EndedAt: end, Reason: "started anew"},
		},
		{
			"container: removed by somebody",
			evidence{form: inContainer, sup: supervise.Status{Phase: supervise.Lost, Message: "nothing says how"}},
			backends.Observation{Phase: backends.Ended, Outcome: run.OutcomeInternalError, Reason: "nothing says how"},
		},
		{
			"container: lost, and the engine says that it runs",
			evidence{form: inContainer, sup: supervise.Status{Phase: supervise.Lost}, found: true, engine: container.State{Phase: container.Running}},
			backends.Observation{Phase: backends.Running},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.e.observation()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every cause that a supervisor can give has a meaning.
func TestEveryCause(t *testing.T) {
	for _, c := range []supervise.Cause{supervise.OutOfMemory, supervise.TimedOut, supervise.Stopped, supervise.NotStarted} {
		if !causes[c].Known() {
			t.Errorf("cause %s means %q", c, causes[c])
		}
	}
}
