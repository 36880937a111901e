package slurm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/cluster"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Check says what is wrong with a spec.
func (e *Engine) Check(a backends.Attempt) *backends.Invalid {
	if a.Config.VMPriority == runconfig.LowPriority && e.options.LowPriority.Partition == "" && e.options.LowPriority.QOS == "" {
		return &backends.Invalid{
			What: "this cluster was attached without anything that is preemptible", Where: "vm_priority",
			Hint: "attach it with --lowpriority-partition or --lowpriority-qos",
		}
	}
	return nil
}

// asked is what a job asks of Slurm: the spec's words, over those for low
// priority, over the target's.
func (e *Engine) asked(c *runconfig.ScriptRunConfig) runconfig.Slurm {
	s := e.options.Defaults
	if c.VMPriority == runconfig.LowPriority {
		s = e.options.LowPriority.Over(s)
	}
	if c.Slurm != nil {
		s = c.Slurm.Over(s)
	}
	return s
}

// Submit calls sbatch, once.
func (e *Engine) Submit(ctx context.Context, j cluster.Job) (string, error) {
	s := e.asked(j.Config)
	out, err := e.call(ctx, script(j, s), "sbatch", e.options.arguments(j, s)...)
	if r, ok := errors.AsType[*refusal](err); ok {
		return "", &backends.Failure{
			Outcome: run.OutcomeEnvironmentFailed, Err: fmt.Errorf("sbatch refuses the job: %s", r.said),
			Hint: "compare resources: and slurm: of the spec with what runner compute show tells of the cluster",
		}
	}
	if err != nil {
		return "", err
	}
	id, _, _ := strings.Cut(strings.TrimSpace(out), ";") // the cluster's name may follow
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return "", fmt.Errorf("sbatch gives no number of a job but %q", out)
	}
	return id, nil
}

// script is the job's: it becomes the supervisor.
func script(j cluster.Job, s runconfig.Slurm) string {
	text := "#!/bin/sh\n"
	if s.Setup != "" {
		text = "#!/bin/bash -l\n" + strings.TrimRight(s.Setup, "\n") + "\n"
	}
	// What a job starts with srun has the CPUs and the variables that the job has.
	text += "export SRUN_CPUS_PER_TASK=\"${SLURM_CPUS_PER_TASK:-1}\"\nunset SLURM_EXPORT_ENV\n"
	return text + "exec " + host.Quote(j.Argv...) + "\n"
}

// arguments of sbatch.
func (o Options) arguments(j cluster.Job, s runconfig.Slurm) []string {
	r := j.Config.Resources
	nodes := max(1, r.Nodes)
	line := []string{
		"--parsable",
		"--job-name=" + j.Mark.Name(), "--comment=" + j.Mark.Text(o.Installation),
		"--no-requeue", "--export=NONE", "--chdir=" + j.Dir,
		"--input=/dev/null", "--output=" + escape(j.Log), "--error=" + escape(j.Log), "--open-mode=append",
		fmt.Sprintf("--nodes=%d-%d", nodes, nodes), "--ntasks-per-node=1", "--cpus-per-task=" + strconv.Itoa(int(max(1, math.Ceil(r.CPUs)))),
		"--signal=B:TERM@" + strconv.Itoa(int(min(maxSignal, math.Ceil(j.Grace.Seconds())))),
	}
	if r.Memory > 0 {
		line = append(line, "--mem="+strconv.FormatInt((int64(r.Memory)+kibi-1)/kibi, 10)+"K")
	}
	switch {
	case s.GRES != "":
		line = append(line, "--gres="+s.GRES)
	case r.GPUs > 0:
		line = append(line, "--gres=gpu:"+strconv.Itoa(r.GPUs))
	}
	if limit := max(j.Limit, time.Duration(s.TimeLimit)); limit > 0 {
		if s.TimeLimit > 0 { // the user's own word
			limit = time.Duration(s.TimeLimit)
		}
		line = append(line, "--time="+strconv.Itoa(int(math.Ceil(limit.Minutes()))))
	}
	for _, f := range []struct{ name, value string }{
		{"partition", s.Partition},
		{"account", s.Account},
		{"qos", s.QOS},
		{"constraint", s.Constraint},
		{"reservation", s.Reservation},
		{"licenses", s.Licenses},
	} {
		if f.value != "" {
			line = append(line, "--"+f.name+"="+f.value)
		}
	}
	if s.Exclusive {
		line = append(line, "--exclusive")
	}
	return append(line, s.Arguments...)
}

const (
	kibi = 1 << 10
	// maxSignal is the longest time before its end that Slurm tells a job, in
	// seconds.
	maxSignal = 65535
)

// escape keeps sbatch from replacing parts of a file's name.
func escape(name string) string { return strings.ReplaceAll(name, "%", "%%") }
