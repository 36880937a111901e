package main

import (
	"strings"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

func newRerun(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rerun RUN",
		Short: "Submit a run again, exactly or with changes",
		Long: `Rerun submits the same source, as it was then, with the same environment and
the same arguments. --set changes what should be different; the source and the
environment are made anew when it is they that change.`,
		Example:           "  runner rerun @last --set arguments='[--alpha, 0.7]'",
		Args:              wants(1, 1, "run"),
		ValidArgsFunction: c.completeRuns,
	}
	var sets []string
	addSet(cmd, &sets)
	detach := cmd.Flags().BoolP("detach", "d", false, "print the run's id and do not wait")
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would happen, and do nothing")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if as.json() && !*dryRun && !*detach {
			return server.Wrong("-o json is for --dry-run and --detach", cmd.CommandPath(), "what the script writes goes to standard output")
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		old, err := client.Run(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		config, base, err := again(old, sets)
		if err != nil {
			return err
		}
		s := submitting{cli: c, config: config, base: base, detach: *detach, json: as.json(), dryRun: *dryRun}
		if s.dryRun {
			return s.plan(cmd.Context())
		}
		return s.run(cmd.Context())
	}
	return cmd
}

// again is what a rerun takes over of an old run.
func again(old *run.Run, sets []string) (*runconfig.ScriptRunConfig, controller.Submission, error) {
	base := controller.Submission{RerunOf: old.ID, Snapshot: old.Snapshot, Environment: old.ResolvedEnvironment}
	spec, err := specYAML(old.Config)
	if err != nil {
		return nil, base, err
	}
	config, err := runconfig.Parse("the spec of "+old.ID, []byte(spec), sets)
	if err != nil {
		return nil, base, wrongInput(err, old.ID)
	}
	config.Path = old.Config.Path
	for _, set := range sets {
		switch field := strings.TrimSpace(set); {
		case strings.HasPrefix(field, "source_directory"):
			base.Snapshot = ""
		case strings.HasPrefix(field, "environment_variables"):
		case strings.HasPrefix(field, "environment"):
			base.Environment = nil
		}
	}
	return config, base, nil
}
