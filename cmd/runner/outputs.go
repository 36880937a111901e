package main

import (
	"fmt"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

func newOutputs(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "outputs RUN",
		Short:             "List, or fetch, what a run left in outputs/ and logs/",
		Example:           "  runner outputs @last --to results",
		Args:              wants(1, 1, "run"),
		ValidArgsFunction: c.completeRuns,
	}
	to := cmd.Flags().String("to", "", "fetch all of it into `DIR`")
	attempt := cmd.Flags().Int("attempt", 0, "of attempt `N`; the last one without it")
	as := addFormat(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("attempt") && *attempt < 1 {
			return server.Wrong("--attempt counts from 1", cmd.CommandPath(), "leave it out for the last one")
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
		files, err := client.Outputs(cmd.Context(), r.ID, *attempt)
		if err != nil {
			return err
		}
		if *to != "" {
			f := fetching{cli: c, client: client, run: r.ID, attempt: *attempt, lines: c.newLiveLines()}
			if err := f.all(cmd.Context(), files, *to); err != nil {
				return err
			}
		}
		switch {
		case as.json():
			return c.printJSON(files)
		case *to != "":
			return nil
		case len(files) == 0:
			if r.State.Ended() {
				c.sayf("%s left nothing", r.ID)
			} else {
				c.sayf("what %s leaves comes home when the attempt ends", r.ID)
			}
			return nil
		}
		return c.print(fileTable(files, as.wide()))
	}
	return cmd
}

func fileTable(files []controller.OutputFile, wide bool) string {
	var t table
	if wide {
		t.head("MODE", "SIZE", "BYTES", "PATH")
	} else {
		t.head("SIZE", "PATH")
	}
	for _, f := range files {
		name, bytes := tidyLine(f.Path), size(f.Size)
		switch {
		case f.Link != "":
			name, bytes = name+" -> "+tidyLine(f.Link), ""
		case f.Dir:
			name, bytes = name+"/", ""
		}
		if wide {
			t.add(plain(fmt.Sprintf("%04o", f.Mode)), plain(bytes), plain(fmt.Sprint(f.Size)), plain(name))
		} else {
			t.add(plain(bytes), plain(name))
		}
	}
	return t.render(0)
}
