package main

import (
	"github.com/runnerml/runner/internal/controller"
	"github.com/spf13/cobra"
)

// completeRuns offers the newest runs' ids to the shell.
func (c *cli) completeRuns(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	client, err := c.connect(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer client.Close()
	const offered = 50
	list, err := client.List(cmd.Context(), controller.Filter{Limit: offered})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ids := []cobra.Completion{"@last"}
	for _, r := range list {
		ids = append(ids, cobra.CompletionWithDesc(r.ID, string(r.State)))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
