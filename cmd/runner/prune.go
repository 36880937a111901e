package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

const defaultPruneAge = "30d"

// pruneFlags are the flags of the commands that free space.
type pruneFlags struct {
	olderThan string
	dryRun    bool
	format    *format
}

func (f *pruneFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.olderThan, "older-than", defaultPruneAge, "only "+what+" longer ago than `DURATION`")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be freed, and free nothing")
	f.format = addFormat(cmd, asTable, asJSON)
}

func (f *pruneFlags) age(cmd *cobra.Command) (time.Duration, error) {
	if _, err := strconv.ParseFloat(f.olderThan, 64); err == nil && f.olderThan != "0" {
		return 0, server.Wrong(fmt.Sprintf("--older-than: %s what?", f.olderThan), cmd.CommandPath(), "for example "+f.olderThan+"d, or "+f.olderThan+"h")
	}
	d, err := runconfig.ParseDuration(f.olderThan)
	if err == nil && d < 0 {
		err = fmt.Errorf("%q is less than nothing", f.olderThan)
	}
	if err != nil {
		return 0, wrongFlag(cmd, "older-than", err)
	}
	return d.Std(), nil
}

func newPrune(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Free what nothing needs any more",
		Long: `Prune removes runs that ended long ago with their logs and outputs, and the
snapshots and environments that no run needs then.`,
		Args: wants(0, 0, ""),
	}
	var f pruneFlags
	f.add(cmd, "runs that ended")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		age, err := f.age(cmd)
		if err != nil {
			return err
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		report, err := client.Prune(cmd.Context(), age, f.dryRun)
		if err != nil {
			return err
		}
		return c.showPruned(report, f.format)
	}
	return cmd
}

func (c *cli) showPruned(r *controller.PruneReport, as *format) error {
	if as.json() {
		return c.printJSON(r)
	}
	words := "freed"
	if r.DryRun {
		words = "would free"
	}
	if len(r.Runs) == 0 && r.Snapshots == 0 && len(r.Environments) == 0 && r.Bytes == 0 {
		return c.print("there is nothing to free\n")
	}
	return c.print(fmt.Sprintf("%s %s: %s, %s, %s\n", words, size(r.Bytes),
		plural(len(r.Runs), "run"), plural(r.Snapshots, "snapshot"), plural(len(r.Environments), "environment")))
}
