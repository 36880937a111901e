package ranks

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
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
	// Argv is the command line of each process.
	Argv []string
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
	line := []string{bin, word, "--processes", fmt.Sprint(c.Processes), "--framework", c.Framework, "--grace", c.Grace.String()}
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
	end, err := c.run(os.Stdout)
	if err != nil {
		return 0, err
	}
	if end.Signaled() {
		dieBy(end.Signal())
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
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	c.Argv = flags.Args()
	if c.Processes < 1 || c.Framework == "" || len(c.Argv) == 0 {
		return c, fmt.Errorf("%w: how many, of which framework and what to run", errUsage)
	}
	return c, nil
}
