package main

import (
	"context"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func newWait(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "wait RUN...",
		Short: "Wait until runs have ended",
		Long: `Wait returns when all of the runs have ended. Its exit code is that of the
first one, in the order they were named, that did not complete; see submit.`,
		Args:              wants(1, -1, "run"),
		ValidArgsFunction: c.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			return c.wait(cmd.Context(), client, args)
		},
	}
}

// mostWatched is how many runs are watched at once.
const mostWatched = 64

func (c *cli) wait(ctx context.Context, client *client.Client, ids []string) error {
	ends := make([]error, len(ids))
	runs := make([]*run.Run, len(ids))
	for i, id := range ids { // an unknown name is an error at once
		r, err := client.Run(ctx, id)
		if err != nil {
			return err
		}
		runs[i] = r
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mostWatched)
	for i, r := range runs {
		group.Go(func() error {
			ended, err := client.Watch(ctx, r.ID, 0, func(controller.Notice) error { return nil })
			if err == nil {
				ends[i] = c.closing(ended)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, end := range ends {
		if end != nil {
			return end
		}
	}
	return nil
}
