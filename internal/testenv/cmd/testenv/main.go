// Command testenv installs, starts, shows and stops the engines that the tests use. Tests start what they need by
// themselves; this command is for before (install, start) and after (stop, clean).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

const usage = `usage: testenv COMMAND

  install  install the Debian packages that the tests need (as root; nothing to do when they are there)
  start    start the Docker engine and make its base image
  status   say what is running
  stop     end everything that was started; images and caches stay
  clean    stop, and remove images and caches
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if len(os.Args) != 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	began := time.Now()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "testenv %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "testenv %s: done in %s\n", os.Args[1], time.Since(began).Round(time.Millisecond))
}

func run(ctx context.Context, command string) error {
	switch command {
	case "install":
		return testenv.Install(ctx, os.Stderr)
	case "start":
		engine, err := testenv.StartDocker(ctx)
		if err != nil {
			return err
		}
		fmt.Println(engine.Host)
		return nil
	case "status":
		lines, err := testenv.Status(ctx)
		for _, line := range lines {
			fmt.Println(line)
		}
		return err
	case "stop":
		return testenv.Stop(ctx)
	case "clean":
		return testenv.Clean(ctx)
	default:
		return fmt.Errorf("no such command\n%s", usage)
	}
}
