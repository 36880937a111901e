package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/supervise"
)

// bench is one subject. It gives the rows that it could measure, also with an
// error.
type bench struct {
	name string
	run  func(ctx context.Context, l *lab) ([]row, error)
}

var benches = []bench{
	{"process", benchProcess},
	{"docker", benchDocker},
	{"queue", benchQueue},
	{"memory", benchMemory},
	{"log", benchLog},
	{"snapshot", benchSnapshot},
	{"cli", benchCLI},
	{"ssh", benchSSH},
	{"resubmit", benchResubmit},
	{"blob", benchBlob},
}

func main() {
	if len(os.Args) > 1 { // a copy of us on the machine that benchSSH reaches
		switch os.Args[1] {
		case "supervise":
			os.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
		case "onhost":
			os.Exit(onhost.Main(os.Args[2:], os.Stdin, os.Stdout))
		case "blobtransfer": // benchBlob measures its memory
			os.Exit(blobTransferMain())
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	format := flags.String("o", "table", "output `FORMAT`: table or json")
	quick := flags.Bool("quick", false, "a tenth of the data and few repetitions: shows that it works, judges nothing")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: bench [-o json] [-quick] [NAME...]\nnames: %s\n", strings.Join(names(), " "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *format != "table" && *format != "json" {
		return fmt.Errorf("-o %s: table or json", *format)
	}
	for _, name := range flags.Args() {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("there is no bench %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	r, err := measure(ctx, flags.Args(), *quick, progress)
	if r != nil {
		if *format == "json" {
			err = errors.Join(err, r.printJSON(out))
		} else {
			err = errors.Join(err, r.printTable(out))
		}
	}
	return err
}

// measure runs the chosen benches, all of them when none is named. A bench
// that fails does not keep the others from running.
func measure(ctx context.Context, chosen []string, quick bool, progress io.Writer) (r *report, err error) {
	l, err := openLab(ctx, quick, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r = newReport(l)
	var failures []error
	for _, b := range benches {
		if len(chosen) > 0 && !slices.Contains(chosen, b.name) {
			continue
		}
		l.sayf("%s ...", b.name)
		rows, err := b.run(ctx, l)
		for _, row := range rows {
			row.Bench = b.name
			r.Rows = append(r.Rows, row)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", b.name, err))
			l.sayf("%s did not work: %v", b.name, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	r.LoadAfter = load()
	return r, errors.Join(failures...)
}

func names() []string {
	all := make([]string, len(benches))
	for i, b := range benches {
		all[i] = b.name
	}
	return all
}
