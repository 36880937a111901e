package main

import (
	"context"

	"github.com/runnerml/runner/internal/client"
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

// completeFlag offers names that the server knows as values of a flag.
func (c *cli) completeFlag(cmd *cobra.Command, flag string, names func(context.Context, *client.Client) ([]string, error)) {
	complete := func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		client, err := c.connect(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer client.Close()
		list, err := names(cmd.Context(), client)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails only for unknown flags
}

func (c *cli) targetNames(ctx context.Context, client *client.Client) (names []string, _ error) {
	all, err := client.Targets(ctx)
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names, err
}

func (c *cli) environmentNames(ctx context.Context, client *client.Client) (names []string, _ error) {
	all, err := client.Environments(ctx)
	for _, e := range all {
		if e.Name != "" {
			names = append(names, e.Name)
		}
	}
	return names, err
}

func (c *cli) experimentNames(ctx context.Context, client *client.Client) (names []string, _ error) {
	all, err := client.List(ctx, controller.Filter{})
	seen := map[string]bool{}
	for _, r := range all {
		if !seen[r.Experiment] {
			seen[r.Experiment] = true
			names = append(names, r.Experiment)
		}
	}
	return names, err
}
