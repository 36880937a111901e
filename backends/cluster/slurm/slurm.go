package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/cluster"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Options of a Slurm.
type Options struct {
	// Host is where its commands are called: a login node, or this computer.
	Host host.Host
	// Bin is the directory of its commands on the host; empty: they are in PATH.
	Bin string
	// Installation is this RUNNER_HOME's own name.
	Installation string
	// Defaults are the target's own: what a spec does not say.
	Defaults runconfig.Slurm
	// LowPriority is what a run with vm_priority: lowpriority is given instead:
	// a partition or QOS that is preemptible. The zero value: there is none.
	LowPriority runconfig.Slurm
}

// Engine is one Slurm.
type Engine struct {
	options Options
	past    accounting
}

var _ cluster.Engine = (*Engine)(nil)

// New speaks to a Slurm. It asks nothing yet.
func New(o Options) *Engine { return &Engine{options: o} }

// commandTimeout bounds one command of Slurm's: it waits for a busy controller
// by itself.
const commandTimeout = time.Minute

// call runs one of Slurm's commands.
func (e *Engine) call(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	return e.run(ctx, stdin, name, append([]string{e.program(name)}, args...)...)
}

// program is where one of Slurm's commands is.
func (e *Engine) program(name string) string {
	if e.options.Bin == "" {
		return name
	}
	return path.Join(e.options.Bin, name)
}

// run runs what calls the named one of Slurm's commands.
func (e *Engine) run(ctx context.Context, stdin string, name string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var out bytes.Buffer
	err := e.options.Host.Run(ctx, host.Command{
		Argv: argv, Env: []string{"SLURM_TIME_FORMAT=%s", "LC_ALL=C"}, Dir: "/",
		Stdin: strings.NewReader(stdin), Stdout: &out, DiesWithUs: true,
	})
	if err != nil {
		return "", e.failure(ctx, name, err)
	}
	return out.String(), nil
}

// busy are what Slurm's commands say when the controller does not answer, or
// cannot just now.
var busy = []string{
	"Unable to contact slurm controller", "Socket timed out", "Connection refused", "Connection timed out", "Communication connection failure",
	"Zero Bytes were transmitted or received", "temporarily unable to accept job", "Resource temporarily unavailable", "Unable to establish",
	"Slurm backup controller in standby", "Message receive failure", "Invalid authentication credential", "Protocol authentication error",
	"Transport endpoint is not connected", "Address already in use", "DNS SRV lookup failed", "Munge encode failed",
}

// failure says what a command's failure means.
func (e *Engine) failure(ctx context.Context, name string, err error) error {
	failed, ok := errors.AsType[*host.ExitError](err)
	if !ok {
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return &backends.Failure{
				Outcome: run.OutcomeTargetUnreachable, Temporary: true, Err: fmt.Errorf("%s did not answer within %s", name, commandTimeout), Hint: hintAway,
			}
		}
		return err
	}
	const notThere = 127
	said := words(failed.Stderr)
	for _, text := range busy {
		if strings.Contains(failed.Stderr, text) {
			return &backends.Failure{
				Outcome: run.OutcomeTargetUnreachable, Temporary: true, Err: fmt.Errorf("the Slurm controller does not answer: %s", said), Hint: hintAway,
			}
		}
	}
	if failed.Code == notThere || said == "" {
		return fmt.Errorf("%s: %w", name, err)
	}
	return &refusal{name: name, said: said}
}

const hintAway = "is slurmctld running? scontrol ping tells. It is tried again"

// refusal is a command that Slurm refused, in its words.
type refusal struct{ name, said string }

func (r *refusal) Error() string { return r.name + ": " + r.said }

// words are what a command said, in one line, without its name.
func words(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"sbatch: ", "squeue: ", "scancel: ", "scontrol: ", "sinfo: ", "sacct: ", "error: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
