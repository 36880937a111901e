package sparksubmit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/runnerml/runner/internal/supervise"
)

// Word is the hidden subcommand.
const Word = "sparksubmit"

// The exit codes of our own; those of a shell for a program that is not there.
const (
	codeUsage    = 2
	codeFailed   = 125
	codeNotFound = 127
)

const usage = `usage: runner sparksubmit PLAN
       runner sparksubmit fetch PLAN
       runner sparksubmit end PLAN
`

// Command is the command line that carries a plan out; bin is this program.
func Command(bin, plan string) []string { return []string{bin, Word, plan} }

// EndCommand ends what is left of a plan's application and removes what it left
// on the cluster's file system.
func EndCommand(bin, plan string) []string { return []string{bin, Word, "end", plan} }

// FetchCommand fetches what a plan's application left on the cluster's file
// system, unless that was done.
func FetchCommand(bin, plan string) []string { return []string{bin, Word, "fetch", plan} }

// errUsage is a wrong command line, or a file that is no plan.
var errUsage = errors.New("wrong arguments")

// Main is the hidden subcommand "runner sparksubmit"; args are what follows that
// word. It returns the exit code, or ends by the signal that ended the script.
func Main(args []string) int {
	// Like a script, we are told to end once, and then given time.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	code, err := carryOut(ctx, args)
	switch {
	case err == nil:
		const signals, most = 128, 64
		if code > signals && code <= signals+most {
			supervise.DieBy(syscall.Signal(code - signals))
		}
		return code
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "error: %v\n%s", err, usage)
		return codeUsage
	}
	fmt.Fprintf(os.Stderr, "error: %v\n", err)
	if missing, ok := errors.AsType[*NotFoundError](err); ok {
		fmt.Fprintf(os.Stderr, "hint: %s\n", missing.Hint())
		return codeNotFound
	}
	return codeFailed
}

func carryOut(ctx context.Context, args []string) (int, error) {
	word := ""
	if len(args) == 2 {
		word = args[0]
	}
	if len(args) != 1 && word != "end" && word != "fetch" {
		return 0, errUsage
	}
	file := args[len(args)-1]
	p, err := readPlan(file)
	if err != nil {
		return 0, err
	}
	if word != "" {
		if err := takeEnviron(filepath.Join(dirBeside(file), environFile)); err != nil {
			return 0, err
		}
	}
	submit, err := Find(p.Submit, os.Getenv("SPARK_HOME"), os.Getenv("PATH"))
	if err != nil {
		return 0, err
	}
	l, err := newLauncher(p, submit, file)
	if err != nil {
		return 0, err
	}
	switch word {
	case "end":
		return 0, l.end(ctx)
	case "fetch":
		_, err := l.fetch(ctx)
		return 0, err
	}
	return l.run(ctx)
}

// dirBeside is where files of our own are, beside a plan.
func dirBeside(plan string) string { return filepath.Join(filepath.Dir(plan), "spark") }

// newLauncher is what carries a plan out.
func newLauncher(p *Plan, submit, file string) (*launcher, error) {
	conf := p.HadoopConf
	for _, name := range []string{"YARN_CONF_DIR", "HADOOP_CONF_DIR"} {
		if conf == "" {
			conf = os.Getenv(name)
		}
	}
	if conf == "" {
		conf = "/etc/hadoop/conf"
	}
	l := &launcher{plan: p, submit: submit, conf: conf, report: reportBeside(file), dir: dirBeside(file)}
	if p.isStandalone() {
		l.master = newStandalone(p.Master, p.Spark.Configuration["spark.master.ui.port"])
	}
	if p.OnYARN() {
		site, err := readHadoopConf(conf)
		if err != nil {
			return nil, fmt.Errorf("read the cluster's configuration: %w", err)
		}
		l.programs = programs{submit: submit, conf: conf}
		l.yarn = both{web: newWeb(site.managers()), programs: l.programs}
	}
	return l, nil
}
