package ranks

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// Config is what a launcher is told.
type Config struct {
	// Processes on this node, at least 1.
	Processes int
	// Framework is pytorch, tensorflow or mpi: the spec's word.
	Framework string
	// Grace between SIGTERM and SIGKILL for those who are ended because another
	// failed; at most maxGrace.
	Grace time.Duration
	// Secrets are names of variables whose values are not to be seen in the
	// output. Only here a secret of several lines can still be recognized.
	Secrets []string
	// Nodes says how the run's other nodes are reached; zero: there are none.
	Nodes Nodes
	// Argv is the command line of each process.
	Argv []string

	// on is set where this is one of several nodes.
	on *onNode
}

// Launchers and frameworks that we know.
const (
	TensorFlow = "tensorflow"
	MPI        = "mpi"
)

// MPIRun is the program that starts the processes of MPI.
const MPIRun = "mpirun"

// The exit codes of our own.
const (
	codeUsage  = 2
	codeFailed = 125
)

const word = "ranks"

// Command is the command line that starts a launcher; bin is this program.
func (c Config) Command(bin string) []string {
	line := []string{bin, word}
	if n := c.Nodes; n.Count > 1 {
		line = append(line, "--nodes", fmt.Sprint(n.Count), "--shared", n.Dir, "--logs", n.Logs,
			"--number-in", n.NumberIn, "--name-in", n.NameIn, "--first-in", n.FirstIn, "--job-in", n.JobIn)
		for _, w := range n.Terminate {
			line = append(line, "--terminate-by", w)
		}
		for _, w := range n.Starter {
			line = append(line, "--starter", w)
		}
		for _, w := range n.Names {
			line = append(line, "--names-by", w)
		}
	}
	return append(line, c.flags()...)
}

// flags are what each launcher of a run is told.
func (c Config) flags() []string {
	line := []string{"--processes", fmt.Sprint(c.Processes), "--framework", c.Framework, "--grace", c.Grace.String()}
	for _, name := range c.Secrets {
		line = append(line, "--secret", name)
	}
	return append(append(line, "--"), c.Argv...)
}

// Main is the hidden subcommand "runner ranks"; args are what follows that
// word. It returns the exit code, or ends by the signal that ended a process.
func Main(args []string) int {
	var err error
	code := 0
	if len(args) > 0 && args[0] == mpiWord {
		err = mpiRank(args[1:])
	} else {
		code, err = launch(args)
	}
	switch {
	case err == nil:
		return code
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "error: %v\nusage: runner ranks --processes N --framework NAME [--grace DURATION] [--secret NAME]... -- COMMAND...\n", err)
		return codeUsage
	default:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return codeOf(err)
	}
}

// errUsage is a wrong command line.
var errUsage = errors.New("wrong arguments")

func launch(args []string) (int, error) {
	c, err := parse(args)
	if err != nil {
		return 0, err
	}
	if c.Nodes.Count > 1 {
		return c.head()
	}
	end, err := c.run(os.Stdout)
	if err != nil {
		return 0, err
	}
	if end.Signaled() {
		supervise.DieBy(end.Signal())
		return 128 + int(end.Signal()), nil // where that is not possible
	}
	return end.ExitStatus(), nil
}

func parse(args []string) (Config, error) {
	var c Config
	flags := flag.NewFlagSet(word, flag.ContinueOnError)
	var said strings.Builder
	flags.SetOutput(&said)
	flags.IntVar(&c.Processes, "processes", 0, "")
	flags.StringVar(&c.Framework, "framework", "", "")
	flags.DurationVar(&c.Grace, "grace", maxGrace, "")
	flags.Func("secret", "", func(name string) error {
		c.Secrets = append(c.Secrets, name)
		return nil
	})
	var on onNode
	n := &c.Nodes
	flags.IntVar(&n.Count, "nodes", 1, "")
	flags.StringVar(&n.Dir, "shared", "", "")
	flags.StringVar(&n.Logs, "logs", "", "")
	flags.StringVar(&n.NumberIn, "number-in", "", "")
	flags.StringVar(&n.NameIn, "name-in", "", "")
	flags.StringVar(&n.FirstIn, "first-in", "", "")
	flags.StringVar(&n.JobIn, "job-in", "", "")
	for name, list := range map[string]*[]string{"starter": &n.Starter, "names-by": &n.Names, "terminate-by": &n.Terminate, "node": &on.names} {
		flags.Func(name, "", func(w string) error {
			*list = append(*list, w)
			return nil
		})
	}
	flags.IntVar(&on.count, "node-of", 0, "")
	flags.IntVar(&on.perNode, "per-node", 0, "")
	flags.IntVar(&on.master, "master-port", 0, "")
	flags.IntVar(&on.base, "base-port", 0, "")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	if on.count > 0 {
		on.nodes = *n
		if err := on.find(); err != nil {
			return c, err
		}
		c.on = &on
	}
	c.Argv = flags.Args()
	if c.Processes < 1 || c.Framework == "" || len(c.Argv) == 0 {
		return c, fmt.Errorf("%w: how many, of which framework and what to run", errUsage)
	}
	return c, nil
}
