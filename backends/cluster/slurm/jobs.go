package slurm

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/backends/cluster"
	"github.com/runnerml/runner/internal/run"
)

// separator of squeue's fields. Our marks hold none; what others write into
// their comments comes last but one.
const separator = "|"

// fields of squeue: id, state, first node, nodes, start, end, limit, comment,
// reason.
const fields = "%A|%T|%B|%N|%S|%e|%l|%k|%r"

const fieldCount = 9

// Jobs asks squeue once for all of ours, those that ended as long as Slurm
// keeps them (MinJobAge).
func (e *Engine) Jobs(ctx context.Context) ([]cluster.State, error) {
	out, err := e.call(ctx, "", "squeue", "--me", "--states=all", "--noheader", "--format="+fields)
	if err != nil {
		return nil, err
	}
	var all []cluster.State
	for line := range strings.Lines(out) {
		if s, ours := e.parse(strings.TrimRight(line, "\n")); ours {
			all = append(all, s)
		}
	}
	return all, nil
}

// parse reads a line of squeue; a job that is not of this installation is left
// out.
func (e *Engine) parse(line string) (s cluster.State, ours bool) {
	f := strings.SplitN(line, separator, fieldCount)
	if len(f) != fieldCount {
		return s, false
	}
	installation, mark, ok := cluster.ParseMark(strings.TrimSpace(f[7]))
	if !ok || installation != e.options.Installation {
		return s, false
	}
	s = cluster.State{
		ID: f[0], Mark: mark, Word: f[1], Node: node(f[2]), Nodes: expand(node(f[3])),
		StartedAt: moment(f[4]), EndedAt: moment(f[5]), Limit: duration(f[6]),
	}
	s.Phase, s.Outcome = meaning(s.Word)
	s.Reason = reason(s.Word, strings.TrimSpace(f[8]))
	if s.Word == "CONFIGURING" && len(s.Nodes) > 0 {
		s.Reason = with(starting(s.Nodes, f[3]), s.Word)
	}
	switch s.Phase {
	case cluster.Pending:
		s.Node, s.StartedAt, s.EndedAt = "", time.Time{}, time.Time{}
	case cluster.Running, cluster.Ending:
		s.EndedAt = time.Time{}
	case cluster.Ended:
	}
	return s, true
}

// meaning is the one table of what Slurm's states mean.
func meaning(word string) (cluster.Phase, run.Outcome) {
	switch word {
	case "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD":
		return cluster.Pending, ""
	case "RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT":
		return cluster.Running, ""
	case "COMPLETING":
		return cluster.Ending, ""
	case "PREEMPTED":
		return cluster.Ended, run.OutcomePreempted
	case "NODE_FAIL", "BOOT_FAIL":
		return cluster.Ended, run.OutcomeNodeLost
	case "OUT_OF_MEMORY":
		return cluster.Ended, run.OutcomeOutOfMemory
	case "TIMEOUT", "DEADLINE":
		return cluster.Ended, run.OutcomeTimedOut
	case "CANCELLED", "REVOKED":
		return cluster.Ended, run.OutcomeCanceled
	default: // COMPLETED, FAILED, and what is not known yet
		return cluster.Ended, ""
	}
}

// node is empty when there is none yet.
func node(name string) string {
	if name == "n/a" || name == "(null)" {
		return ""
	}
	return name
}

// moment reads seconds; zero: not known.
func moment(text string) time.Time {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// duration reads Slurm's [DAYS-]HOURS:MINUTES:SECONDS; zero: none, or not known.
func duration(text string) time.Duration {
	days, rest, ok := strings.Cut(text, "-")
	if !ok {
		days, rest = "0", text
	}
	d, err := strconv.Atoi(days)
	if err != nil {
		return 0
	}
	total := time.Duration(d) * 24 * time.Hour
	parts := strings.Split(rest, ":")
	unit := time.Second
	for i := len(parts) - 1; i >= 0; i-- {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return 0
		}
		total += time.Duration(n) * unit
		unit *= 60
	}
	return total
}

// Terminate removes what has not begun and tells the first process of the
// others.
func (e *Engine) Terminate(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for _, how := range [][]string{{"--state=PENDING"}, {"--batch", "--signal=TERM"}} {
		if err := e.scancel(ctx, how, ids); err != nil {
			return err
		}
	}
	return nil
}

// Cancel has Slurm end jobs: SIGTERM, its own wait, SIGKILL.
func (e *Engine) Cancel(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return e.scancel(ctx, nil, ids)
}

// over are what scancel says of jobs that have ended.
var over = []string{"Invalid job id specified", "already completing or completed", "Job/step already completing"}

func (e *Engine) scancel(ctx context.Context, how, ids []string) error {
	_, err := e.call(ctx, "", "scancel", append(append([]string{}, how...), ids...)...)
	if err != nil {
		for _, text := range over {
			if strings.Contains(err.Error(), text) {
				return nil
			}
		}
	}
	return err
}
