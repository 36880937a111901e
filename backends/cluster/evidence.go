package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

const (
	// settling is how long after a job's end its supervisor's last word may
	// take to be seen here: shared file systems keep what they know for a while.
	settling = time.Minute
	// limitSlack is how much earlier than they say engines tell a job that its
	// time is nearly over.
	limitSlack = 70 * time.Second
)

// evidence is all that is known of an attempt: its supervisor's word and the
// engine's.
type evidence struct {
	sup supervise.Status
	// job is the attempt's job; nil: the engine knows none.
	job *State
	// wished: somebody had asked it to stop.
	wished bool
	// grace of the attempt, for the end of the engine's limit.
	grace time.Duration
	// said is the end of what the engine told the job.
	said string
	// failed is the first process that failed of a run over several nodes.
	failed string
	now    time.Time
}

// settled reports whether the supervisor's word alone says how it ended: the
// engine had no hand in it.
func settled(s supervise.Status) bool {
	if s.Phase != supervise.Ended || s.Terminated {
		return false
	}
	switch s.Cause {
	case supervise.TimedOut, supervise.Stopped, supervise.NotStarted, supervise.OutOfMemory:
		return true
	default:
		// What ended by itself may have been ended by the engine in truth: for
		// want of memory, or because the engine ended what the script waited for.
		return false
	}
}

// finished reports whether the script ended well, and was not told to.
func finished(s supervise.Status) bool {
	return s.Phase == supervise.Ended && s.Cause == supervise.Exited && s.ExitCode == 0 && !s.Terminated
}

// observation is the one table of what evidence means.
//
//	supervisor        engine                  phase    outcome
//	ended, settled    any                     ended    by its cause
//	finished          ended before that       ended    the engine's: it took what the script waited for
//	finished          anything else           ended    completed
//	ended             still there             running  until the engine says how
//	ended             had a hand in it        ended    the engine's
//	ended, told to    the end of its limit    ended    timed_out
//	ended, told to    nothing, or gone        ended    node_lost
//	ended             nothing, or gone        ended    by its cause
//	running, absent   pending                 pending  (the engine's reason)
//	running           running                 running
//	absent            running                 pending  its script is about to begin
//	running, absent   had a hand in it        ended    the engine's
//	running, absent   ended by itself         running  for a while: files come late
//	absent            ended by itself         ended    environment_failed: its supervisor did not start
//	running           ended by itself, gone   ended    internal_error, canceled when wished
//	absent            gone, was handed over   ended    internal_error, canceled when wished
//	no directory      any                     absent: never handed over, or released
func (e evidence) observation() backends.Observation {
	o := backends.Observation{StartedAt: e.sup.StartedAt, Node: e.sup.Node}
	if e.job != nil {
		o.Handle = handleOf(e.job.ID)
		if e.job.Node != "" {
			o.Node = e.job.Node
		}
	}
	if !handed(e.sup) {
		return backends.Observation{Phase: backends.Absent}
	}
	if e.sup.Phase == supervise.Unknown {
		o.Phase, o.Reason = backends.Unknown, e.sup.Message
		return o
	}
	if settled(e.sup) || finished(e.sup) && !e.taken() {
		return e.byCause(o)
	}
	switch {
	case e.job == nil:
		return e.unknownToEngine(o)
	case e.job.Phase == Ended:
		return e.over(o)
	case e.sup.Phase == supervise.Absent:
		o.Phase, o.Reason = backends.Pending, e.job.Reason
		if e.job.Phase != Pending {
			o.Reason = "its job begins"
		}
	case e.job.Phase == Pending: // taken back by the engine
		o.Phase, o.Reason = backends.Pending, e.job.Reason
	default:
		o.Phase, o.Reason = backends.Running, e.sup.Message
	}
	return o
}

// taken reports whether the engine had ended the job by the time its script
// ended. Engines tell whole seconds.
func (e evidence) taken() bool {
	j := e.job
	return j != nil && j.Phase == Ended && j.Outcome != "" && !e.sup.EndedAt.Before(j.EndedAt.Truncate(time.Second))
}

// over is a job that ended, and whose supervisor's word is not all.
func (e evidence) over(o backends.Observation) backends.Observation {
	j := e.job
	o.EndedAt = j.EndedAt
	ended := e.sup.Phase == supervise.Ended
	switch {
	case j.Outcome != "":
		if ended {
			o = e.byCause(o)
		}
		o.Phase, o.Outcome, o.Reason = backends.Ended, j.Outcome, e.words(j.Reason)
		if o.Outcome == run.OutcomeCanceled && e.wished {
			o.Reason = "" // whoever asked says what for
		}
		return o
	case ended:
		return e.byCause(o)
	case e.now.Sub(j.EndedAt) < settling && e.sup.Phase == supervise.Running:
		o.Phase, o.Reason = backends.Running, "its job has ended; how the script ended is not to be seen yet"
		return o
	case e.wished:
		o.Phase, o.Outcome = backends.Ended, run.OutcomeCanceled
		return o
	case e.sup.Phase == supervise.Absent:
		o.Phase, o.Outcome = backends.Ended, run.OutcomeEnvironmentFailed
		o.Reason = e.words("the job ended before the script began (" + strings.TrimSpace(j.Word+" "+j.Reason) + ")")
		return o
	}
	o.Phase, o.Outcome = backends.Ended, run.OutcomeInternalError
	o.Reason = e.words("the job ended (" + strings.TrimSpace(j.Word+" "+j.Reason) + ") and nothing says how the script did")
	return o
}

// unknownToEngine is an attempt of which only files are left.
func (e evidence) unknownToEngine(o backends.Observation) backends.Observation {
	switch {
	case e.sup.Phase == supervise.Ended:
		return e.byCause(o)
	case e.wished:
		o.Phase, o.Outcome = backends.Ended, run.OutcomeCanceled
		return o
	}
	o.Phase, o.Outcome = backends.Ended, run.OutcomeInternalError
	o.Reason = e.words("the engine knows nothing of its job any more, and nothing says how it ended")
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

// byCause is the end as the supervisor wrote it down.
func (e evidence) byCause(o backends.Observation) backends.Observation {
	s := e.sup
	o.Phase, o.Reason, o.EndedAt, o.Signal = backends.Ended, s.Message, s.EndedAt, s.Signal
	code := s.ExitCode
	o.ExitCode = &code
	outcome, known := causes[s.Cause]
	switch {
	case known:
		o.Outcome = outcome
		if outcome == run.OutcomeEnvironmentFailed {
			o.ExitCode = nil // no script ran
		}
	case s.Terminated && e.atLimit():
		o.Outcome, o.Reason = run.OutcomeTimedOut, fmt.Sprintf("its job's time was over: %s", e.job.Limit)
	case s.Terminated && e.wished:
		o.Outcome = run.OutcomeCanceled
	case code == 0 && !s.Terminated:
		o.Outcome = run.OutcomeCompleted
	case s.Terminated:
		o.Outcome, o.Reason = run.OutcomeNodeLost, "its node was being shut down, or somebody ended what ran there"
	default:
		o.Outcome = run.OutcomeScriptFailed
		if e.failed != "" {
			o.Reason = e.failed
		}
	}
	return o
}

// atLimit reports whether the engine told the job that its time is over.
func (e evidence) atLimit() bool {
	if e.job == nil || e.job.Limit == 0 || e.job.StartedAt.IsZero() {
		return false
	}
	return !e.sup.EndedAt.Before(e.job.StartedAt.Add(e.job.Limit - e.grace - limitSlack))
}

// words are a reason, and what the engine told the job.
func (e evidence) words(reason string) string {
	if e.said == "" {
		return reason
	}
	lines := strings.Split(e.said, "\n")
	const most = 3
	return reason + "; " + strings.Join(lines[max(0, len(lines)-most):], "; ")
}
