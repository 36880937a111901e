package spark

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/sparksubmit"
	"github.com/runnerml/runner/runconfig"
)

// Options of the Spark backend.
type Options struct {
	// Host is the machine with spark-submit. Whoever opened it closes it, after
	// the backend.
	Host host.Host
	// Installation is this RUNNER_HOME's own name.
	Installation string
	// Snapshots is where sources and inputs are sent from.
	Snapshots *snapshot.Store
	// Master and DeployMode when the spec does not say; empty: local[*], client.
	Master, DeployMode string
	// Submit is spark-submit's path there; empty: it is looked for.
	Submit string
	// HadoopConf is the directory there of the cluster's configuration; empty:
	// that of the surroundings.
	HadoopConf string
	// MaxLog is how many bytes of an attempt's output are kept; zero: the default.
	MaxLog int64
	// Programs has our program for hosts of other platforms; nil: there is none.
	Programs *program.Finder
	// Environ is what processes inherit the baseline of; nil: what the host gives
	// to whoever logs in.
	Environ []string
	// Opening hears how far New is; it may be nil.
	Opening backends.Progress
	// Unreachable reports whether an error of Host says that it cannot be asked
	// now; nil: none does.
	Unreachable func(error) bool
	// Probe says what the machine has; nil: it is asked.
	Probe func(ctx context.Context) (*inventory.Inventory, error)
}

// carrier is what a machine does for us. Its size is left out: the machine with
// spark-submit is not what an application fills.
type carrier interface {
	backends.Backend
	backends.Watcher
	backends.Sweeper
	backends.LogFinder
	backends.EnvironmentKeeper
	backends.Planner
	backends.Pruner
}

// Backend is a cluster reached by spark-submit. Close it.
type Backend struct {
	carrier
	machine *machine.Machine
	options Options
}

var (
	_ backends.Backend = (*Backend)(nil)
	_ backends.Checker = (*Backend)(nil)
	_ backends.Resumer = (*Backend)(nil)
)

// New opens the backend.
func New(ctx context.Context, o Options) (*Backend, error) {
	b := &Backend{options: o}
	m, err := machine.New(ctx, machine.Config{
		Host: o.Host, Installation: o.Installation, Store: o.Snapshots, Programs: o.Programs, MaxLog: o.MaxLog, Environ: o.Environ, Unreachable: o.Unreachable,
		Probe: o.Probe, Launcher: b.launch, Opening: o.Opening,
	})
	if err != nil {
		return nil, fmt.Errorf("spark backend: %w", err)
	}
	b.machine, b.carrier = m, m
	return b, nil
}

// Close ends what goes on in the background. Applications go on.
func (b *Backend) Close() error { return b.machine.Close() }

// Check refuses what no Spark application can be.
func (b *Backend) Check(a backends.Attempt) *backends.Invalid {
	master, mode := b.where(a.Config.Spark)
	switch {
	case a.Config.Spark == nil:
		return &backends.Invalid{
			What: "this target carries out Spark applications only", Where: "compute_target", Hint: "say kind: spark, or submit to another target",
		}
	case a.Environment != nil && isImage(a.Environment.Kind):
		return &backends.Invalid{
			What: "a Spark application runs in no container of ours", Where: "environment.docker",
			Hint: "leave docker out; spark.configuration may name an image for the cluster's own",
		}
	case mode == runconfig.DeployCluster && master != "yarn":
		return &backends.Invalid{
			What: fmt.Sprintf("deploy_mode cluster needs YARN, and the master is %s", master), Where: "spark.deploy_mode", Hint: "deploy_mode: client",
		}
	case a.Config.Resources.Nodes > 1:
		return &backends.Invalid{
			What: "nodes of a Spark application are its executors", Where: "resources.nodes", Hint: "spark: {executor_instances: N}",
		}
	}
	return b.machine.Check(a)
}

func isImage(k environment.Kind) bool {
	return k == environment.Image || k == environment.ImageBuild || k == environment.Dockerfile
}

// where an application runs: the spec's word, then the target's.
func (b *Backend) where(s *runconfig.Spark) (master, mode string) {
	master, mode = b.options.Master, b.options.DeployMode
	if s != nil {
		if s.Master != "" {
			master = s.Master
		}
		if s.DeployMode != "" {
			mode = s.DeployMode
		}
	}
	if master == "" {
		master = "local[*]"
	}
	if mode == "" {
		mode = runconfig.DeployClient
	}
	return master, mode
}

// launch is the machine's launcher: the plan for "runner sparksubmit".
func (b *Backend) launch(a backends.Attempt, at machine.Surroundings) (machine.Launch, error) {
	if invalid := b.Check(a); invalid != nil {
		return machine.Launch{}, &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: invalid, Hint: invalid.Hint}
	}
	master, mode := b.where(a.Config.Spark)
	grace := time.Duration(a.Config.Grace)
	if grace <= 0 {
		grace = time.Duration(runconfig.DefaultGrace)
	}
	p := sparksubmit.Plan{
		Run: a.Run, Attempt: a.Number, Name: nameOf(a), Submit: b.options.Submit, HadoopConf: b.options.HadoopConf,
		Master: master, DeployMode: mode, Script: a.Config.Script, Arguments: a.Config.Arguments, Spark: *a.Config.Spark, Work: at.Work,
		Variables: at.Variables, Secrets: slices.Sorted(maps.Keys(a.Secrets)), Grace: grace,
	}
	if a.Environment != nil && path.IsAbs(at.Interpreter) {
		p.Interpreter = at.Interpreter
		if a.Environment.Kind != environment.Existing {
			p.Environment = a.Environment.Digest
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		return machine.Launch{}, err
	}
	return machine.Launch{
		Argv: sparksubmit.Command(at.Bin, path.Join(at.Dir, sparksubmit.PlanFile)), PassesOn: true, Elsewhere: p.InCluster(),
		Files: map[string][]byte{sparksubmit.PlanFile: data},
	}, nil
}

func nameOf(a backends.Attempt) string {
	if a.Config.DisplayName != "" {
		return a.Config.DisplayName
	}
	return a.Run
}
