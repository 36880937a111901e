package main

import (
	"bytes"
	"context"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/spf13/cobra"
)

// shown is the JSON of runner show: the run, and its story.
type shown struct {
	*run.Run
	Events []run.Event `json:"events"`
}

func newShow(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show RUN",
		Short:             "Everything about a run, and why it is as it is",
		Args:              wants(1, 1, "run"),
		ValidArgsFunction: c.completeRuns,
	}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		r, err := client.Run(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		events, err := client.Events(cmd.Context(), r.ID, 0)
		if err != nil {
			return err
		}
		if as.json() {
			return c.printJSON(shown{Run: r, Events: events})
		}
		p := page{cli: c, run: r, events: events, tail: lastLines(cmd.Context(), client, r)}
		return c.print(p.render())
	}
	return cmd
}

// tailLines of the log are shown when a run failed.
const tailLines = 10

// lastLines are the end of a failed run's log. The page is worth having
// without them, so what goes wrong here is only that they are missing.
func lastLines(ctx context.Context, c *client.Client, r *run.Run) []byte {
	if r.State != run.Failed || len(r.Attempts) == 0 {
		return nil
	}
	var b bytes.Buffer
	if err := c.Logs(ctx, r.ID, controller.LogQuery{Attempt: len(r.Attempts), Tail: tailLines}, &b); err != nil {
		return nil
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
