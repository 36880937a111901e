package machine

import (
	"fmt"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

// evidence is all that a machine can say of an attempt.
type evidence struct {
	form form
	// sup is what its supervisor wrote down.
	sup supervise.Status
	// engine is what the engine says of its container, for that form.
	engine container.State
	// found: the engine has the container.
	found bool
	// broken: what is written down of it cannot be read.
	broken error
	// away: the engine did not answer.
	away error
	// wished: somebody had asked it to stop.
	wished bool
	// limit of its memory in bytes; zero: none, or not known.
	limit int64
	// output of a container whose supervisor said nothing.
	output string
}

// asksEngine reports whether the supervisor's word is not enough: it said
// nothing final, or the kernel's word on memory is the engine's to tell.
func (e evidence) asksEngine() bool {
	if e.form != inContainer {
		return false
	}
	switch e.sup.Phase {
	case supervise.Running:
		return false
	case supervise.Ended:
		return e.sup.Cause == supervise.Exited && e.sup.ExitCode != 0
	default:
		return true
	}
}

// observation is the one table of what evidence means.
//
//	supervisor  container        phase    outcome
//	absent      -                absent
//	absent      created,running  pending
//	absent      exited           ended    environment_failed: its supervisor did not start
//	running     any              running
//	ended       -                ended    by cause, see causes
//	ended       running          running  until the engine knows about memory
//	ended       OOMKilled        ended    out_of_memory
//	lost        - (process)      ended    node_lost after a reboot, else internal_error
//	lost        running          running  the engine's word counts
//	lost        exited           ended    out_of_memory, canceled when wished, node_lost after a reboot, else internal_error
//	lost        gone             ended    like a process
//	any but running, engine away unknown
//	any but running, unreadable  unknown
func (e evidence) observation() backends.Observation {
	o := backends.Observation{Node: e.sup.Node, StartedAt: e.sup.StartedAt}
	if e.sup.Phase == supervise.Running {
		o.Phase, o.Reason = backends.Running, e.sup.Message
		return o
	}
	if e.broken != nil {
		o.Phase, o.Reason = backends.Unknown, e.broken.Error()
		return o
	}
	if e.asksEngine() && e.away != nil {
		o.Phase, o.Reason = backends.Unknown, e.away.Error()
		return o
	}
	if e.asksEngine() && e.found && e.engine.Phase != container.Exited && e.engine.Phase != container.Removing {
		return e.beforeTheEnd(o)
	}
	switch e.sup.Phase {
	case supervise.Ended:
		return e.ended(o)
	case supervise.Lost:
		return e.lost(o)
	default:
		if e.found {
			return e.notBegun(o)
		}
		o.Phase = backends.Absent
		return o
	}
}

// beforeTheEnd is a container that has not ended.
func (e evidence) beforeTheEnd(o backends.Observation) backends.Observation {
	switch {
	case e.engine.Phase == container.Created && e.engine.Error != "":
		return environmentFailed(o, "the container did not start: "+e.engine.Error)
	case e.sup.Phase == supervise.Absent:
		o.Phase, o.Reason = backends.Pending, "its container starts"
	default:
		o.Phase = backends.Running
	}
	return o
}

// causes say what a supervisor's cause means.
var causes = map[supervise.Cause]run.Outcome{
	supervise.OutOfMemory: run.OutcomeOutOfMemory,
	supervise.TimedOut:    run.OutcomeTimedOut,
	supervise.Stopped:     run.OutcomeCanceled,
	// The program is the environment's interpreter, or its shell.
	supervise.NotStarted: run.OutcomeEnvironmentFailed,
}

func (e evidence) ended(o backends.Observation) backends.Observation {
	o.Phase, o.Reason, o.EndedAt, o.Signal = backends.Ended, e.sup.Message, e.sup.EndedAt, e.sup.Signal
	code := e.sup.ExitCode
	o.ExitCode = &code
	outcome, known := causes[e.sup.Cause]
	switch {
	case known:
		o.Outcome = outcome
		if outcome == run.OutcomeEnvironmentFailed {
			o.ExitCode = nil // no script ran
		}
	case code == 0:
		o.Outcome = run.OutcomeCompleted
	case e.engine.OOMKilled:
		o.Outcome, o.Reason = run.OutcomeOutOfMemory, e.oomKilled()
	case e.sup.Terminated:
		o.Outcome, o.Reason = run.OutcomeNodeLost, "the machine was being shut down, or somebody ended what ran on it"
	default:
		o.Outcome = run.OutcomeScriptFailed
	}
	return o
}

// oomKilled says in words what the engine's word means.
func (e evidence) oomKilled() string {
	if e.limit == 0 {
		return "out of memory (OOMKilled)"
	}
	return "out of memory: the limit is " + supervise.InUnits(e.limit)
}

// lost is an attempt of which nothing says how it ended.
func (e evidence) lost(o backends.Observation) backends.Observation {
	o.Phase, o.Outcome, o.Reason = backends.Ended, run.OutcomeInternalError, e.sup.Message
	if e.found {
		o.EndedAt = e.engine.FinishedAt
		o.Reason = fmt.Sprintf("its container was killed (exit code %d): nothing says how the script ended", e.engine.ExitCode)
		o.ExitCode, o.Signal = exitOf(e.engine.ExitCode)
	}
	switch {
	case e.found && e.engine.OOMKilled:
		o.Outcome, o.Reason = run.OutcomeOutOfMemory, e.oomKilled()
	case e.wished:
		o.Outcome = run.OutcomeCanceled
	case e.sup.Rebooted:
		o.Outcome, o.Reason = run.OutcomeNodeLost, e.sup.Message
	}
	return o
}

// notBegun is a container that ended before its supervisor said a word.
func (e evidence) notBegun(o backends.Observation) backends.Observation {
	if e.wished {
		o.Phase, o.Outcome, o.EndedAt = backends.Ended, run.OutcomeCanceled, e.engine.FinishedAt
		return o
	}
	why := fmt.Sprintf("the container ended with exit code %d before the script began", e.engine.ExitCode)
	for _, more := range []string{e.engine.Error, e.output} {
		if more != "" {
			why += ": " + more
		}
	}
	o.EndedAt = e.engine.FinishedAt
	return environmentFailed(o, why)
}

func environmentFailed(o backends.Observation, why string) backends.Observation {
	o.Phase, o.Outcome, o.Reason = backends.Ended, run.OutcomeEnvironmentFailed, why
	if o.EndedAt.IsZero() {
		o.EndedAt = time.Now()
	}
	return o
}

// exitOf an engine's exit code: 137 is how it says SIGKILL.
func exitOf(code int) (*int, string) {
	const killed = 137
	if code == killed {
		return &code, "SIGKILL"
	}
	return &code, ""
}
