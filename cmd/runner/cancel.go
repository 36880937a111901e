package main

import (
	"errors"
	"fmt"

	"github.com/runnerml/runner/internal/run"
	"github.com/spf13/cobra"
)

func newCancel(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN...",
		Short: "Ask runs to end",
		Long: `Cancel records the wish at once and returns. A run that waits is canceled right
away; one that runs gets SIGTERM, and SIGKILL when its grace is over.`,
		Args:              wants(1, -1, "run"),
		ValidArgsFunction: c.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			var failed []error
			for _, id := range args {
				r, err := client.Cancel(cmd.Context(), id)
				if err != nil {
					failed = append(failed, err)
					continue
				}
				words := "is asked to end"
				switch {
				case r.State == run.Canceled && len(r.Attempts) == 0: // it waited
					words = "is canceled"
				case r.State.Ended():
					words = "has ended: " + string(r.State)
				}
				if err := c.print(fmt.Sprintf("%s %s\n", r.ID, words)); err != nil {
					return err
				}
			}
			return c.several(failed)
		},
	}
}

// several says all but the last error, which it returns.
func (c *cli) several(failed []error) error {
	for i, err := range failed {
		if i == len(failed)-1 {
			return err
		}
		c.finish(err)
	}
	return errors.Join(failed...)
}
