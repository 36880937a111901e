package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/runnerml/runner/internal/program"
)

func newVersion(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which runner this is", Args: wants(0, 0, "")}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := program.Own()
		if as.json() {
			return c.printJSON(b)
		}
		source := b.Source()
		if source != "" {
			source += ", "
		}
		return c.print(fmt.Sprintf("runner %s (%s%s, %s)\n", b.Version, source, b.Go, b.Platform))
	}
	return cmd
}
