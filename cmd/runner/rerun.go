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
		Use:   "rerun RUN [flags] [-- SCRIPT ARGS]",
		Short: "Submit a run again, exactly or with changes",
		Long: `Rerun submits the same source, as it was then, with the same environment and
the same arguments. The flags and --set change what should be different, and
what comes after -- takes the place of the arguments; the source and the
environment are made anew when it is they that change.`,
		Example: "  runner rerun @last -- --alpha 0.7\n  runner rerun @last --gpus 2 --name 'two GPUs'",
		Args: func(cmd *cobra.Command, args []string) error {
			own, _ := splitArguments(cmd, args)
			return wants(1, 1, "run")(cmd, own)
		},
		ValidArgsFunction: c.completeRuns,
	}
	var flags specFlags
	flags.add(c, cmd)
	detach := cmd.Flags().BoolP("detach", "d", false, "print the run's id and do not wait")
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would happen, and do nothing")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if as.json() && !*dryRun && !*detach {
			return server.Wrong("-o json is for --dry-run and --detach", cmd.CommandPath(), "what the script writes goes to standard output")
		}
		own, arguments := splitArguments(cmd, args)
		sets, err := flags.assignments(cmd, arguments)
		if err != nil {
			return err
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		old, err := client.Run(cmd.Context(), own[0])
		if err != nil {
			return err
		}
		spec, base, err := again(old, sets)
		if err != nil {
			return flags.ownWords(err)
		}
		s := submitting{cli: c, spec: spec, config: spec.Config, flags: &flags, base: base, detach: *detach, json: as.json(), dryRun: *dryRun}
		if s.dryRun {
			return s.plan(cmd.Context())
		}
		return s.run(cmd.Context())
	}
	return cmd
}

// again is what a rerun takes over of an old run.
func again(old *run.Run, sets []string) (*runconfig.Placed, controller.Submission, error) {
	base := controller.Submission{RerunOf: old.ID, Snapshot: old.Snapshot, Environment: old.ResolvedEnvironment}
	text, err := specYAML(old.Config)
	if err != nil {
		return nil, base, err
	}
	spec, err := runconfig.ParsePlaced("the spec of "+old.ID, []byte(text), sets)
	if err != nil {
		return nil, base, wrongInput(err, old.ID)
	}
	spec.Config.Path = old.Config.Path
	for _, set := range sets {
		switch field := strings.TrimSpace(set); {
		case strings.HasPrefix(field, "source_directory"):
			base.Snapshot = ""
		case strings.HasPrefix(field, "environment_variables"):
		case strings.HasPrefix(field, "environment"):
			base.Environment = nil
		}
	}
	return spec, base, nil
}
