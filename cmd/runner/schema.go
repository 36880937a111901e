package main

import (
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

func newSchema(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the spec",
		Args:  wants(0, 0, ""),
		RunE:  func(*cobra.Command, []string) error { return c.print(string(runconfig.Schema())) },
	}
}
