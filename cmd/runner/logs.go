package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

func newLogs(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print what a run's script wrote",
		Long: `Logs prints what a run's script wrote to standard output, byte for byte. With -f
it goes on until the run ends and says on standard error why it waits and how it
ended. The exit code says whether the log could be read, not how the run ended:
for that there is runner wait.`,
		Example:           "  runner logs -f @last\n  runner logs iris-01jd --tail 20",
		Args:              wants(1, 1, "run"),
		ValidArgsFunction: c.completeRuns,
	}
	flags := cmd.Flags()
	follow := flags.BoolP("follow", "f", false, "go on until the run ends")
	attempt := flags.Int("attempt", 0, "of attempt `N`; the last one without it")
	tail := flags.Int("tail", -1, "only the last `N` lines")
	since := flags.String("since", "", "only what was written in the last `DURATION` (5m), or after a time")
	node := flags.Int("node", 0, "of node `N`, from 0")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		q := controller.LogQuery{Attempt: *attempt, Node: *node, Tail: *tail}
		if cmd.Flags().Changed("tail") && *tail < 0 {
			return server.Wrong("--tail counts lines from 0", cmd.CommandPath(), "leave it out for all of the log")
		}
		if cmd.Flags().Changed("attempt") && *attempt < 1 {
			return server.Wrong("--attempt counts from 1", cmd.CommandPath(), "leave it out for the last one")
		}
		if q.Since, err = c.parseSince(cmd, *since); err != nil {
			return err
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		r, err := client.Run(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *follow && *attempt == 0 {
			return c.followLog(cmd.Context(), client, r, q)
		}
		q.Follow = *follow
		return client.Logs(cmd.Context(), r.ID, q, c.out)
	}
	return cmd
}

// followLog prints the log of a run until it ends. Why it waits and how it ended
// are said beside it.
func (c *cli) followLog(ctx context.Context, client *client.Client, r *run.Run, q controller.LogQuery) error {
	f := &follower{cli: c, lines: &liveLines{out: c.err}, id: r.ID}
	f.queued.Store(r.State == run.Queued)
	asking, enough := context.WithCancel(ctx)
	var asked sync.WaitGroup
	asked.Go(func() { f.sayWhyItWaits(asking, client) })
	ended, err := client.Follow(ctx, r.ID, q, c.out, f.waits)
	enough()
	asked.Wait()
	if err != nil {
		return err
	}
	f.endLine()
	_ = c.closing(ended) // it was the log that was asked for
	return nil
}

// waits keeps in mind whether the run is queued, and says why nothing comes.
func (f *follower) waits(n controller.Notice) error {
	switch {
	case n.Run != nil:
		f.queued.Store(n.Run.State == run.Queued)
	case n.Remark != nil:
		f.remark(*n.Remark)
	}
	return nil
}

// parseSince reads a length of time before now, or a time.
func (c *cli) parseSince(cmd *cobra.Command, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Time{}, server.Wrong(fmt.Sprintf("--since: %s what?", text), cmd.CommandPath(), "for example "+text+"m")
	}
	ago, err := runconfig.ParseDuration(text)
	if err != nil {
		return time.Time{}, wrongFlag(cmd, "since", err)
	}
	return c.now().Add(-ago.Std()), nil
}
