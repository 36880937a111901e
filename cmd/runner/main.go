package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/sparksubmit"
	"github.com/runnerml/runner/internal/supervise"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 && os.Args[1] == "onhost" {
		os.Exit(onhost.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 && os.Args[1] == "ranks" {
		os.Exit(ranks.Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == sparksubmit.Word {
		os.Exit(sparksubmit.Main(os.Args[2:]))
	}
	os.Exit(execute(os.Args[1:], newCLI(startEngine)))
}

// execute runs one command and returns its exit code.
func execute(args []string, c *cli) int {
	// A closed pipe is an error of the write, not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends us at once
	root := newRoot(c)
	root.SetArgs(args)
	return c.finish(root.ExecuteContext(ctx))
}
