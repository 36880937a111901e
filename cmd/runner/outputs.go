package main

import (
	"context"
	"fmt"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

// toStdout is the directory of --to that is none.
const toStdout = "-"

// outputsFlags are those of runner outputs.
type outputsFlags struct {
	to      string
	attempt int
	format  *format
}

func newOutputs(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outputs RUN [PATTERN...]",
		Short: "List, or fetch, what a run left in outputs/ and logs/",
		Long: `Outputs lists what a run left in outputs/ and logs/, with sizes and SHA-256
digests; of a run that goes on, what is there now: on this computer all that the
script has left so far, elsewhere what has come home (outputs: {upload: live}).

A PATTERN names a file, a directory, or has *, ?, [abc], {a,b} and ** (any
number of directories). It counts from the top (logs/*.txt) and from outputs/
(model/*.pt); a directory means all that is in it.

--to DIR fetches into DIR, several files at once, under the names that are
listed. A file appears there only whole, and only when its digest is right. What
is there already is not fetched again, and a fetch that was cut goes on where it
was. --to - writes one file to standard output.`,
		Example: `  runner outputs @last
  runner outputs @last 'model/*.pt' --to results
  runner outputs @last metrics.json --to - | jq .accuracy`,
		Args:              wants(1, -1, "run"),
		ValidArgsFunction: c.completeOutputs,
	}
	var f outputsFlags
	cmd.Flags().StringVar(&f.to, "to", "", "fetch into `DIR`; - is standard output, for one file")
	cmd.Flags().IntVar(&f.attempt, "attempt", 0, "of attempt `N`; the last one without it")
	f.format = addFormat(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		return c.outputs(cmd.Context(), client, args[0], args[1:], f)
	}
	return cmd
}

func (f *outputsFlags) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("attempt") && f.attempt < 1:
		return server.Wrong("--attempt counts from 1", cmd.CommandPath(), "leave it out for the last one")
	case cmd.Flags().Changed("to") && f.to == "":
		return server.Wrong("--to is empty", cmd.CommandPath(), "--to . is this directory")
	case f.to == toStdout && cmd.Flags().Changed("output"):
		return server.Wrong("-o is not for --to -", cmd.CommandPath(), "the file itself goes to standard output")
	}
	return nil
}

func (c *cli) outputs(ctx context.Context, client *client.Client, id string, patterns []string, f outputsFlags) error {
	r, err := client.Run(ctx, id)
	if err != nil {
		return err
	}
	files, err := client.Outputs(ctx, r.ID, f.attempt)
	if err != nil {
		return err
	}
	chosen, err := choose(r, files, patterns)
	if err != nil {
		return err
	}
	if f.to != "" {
		fetch := fetching{cli: c, client: client, run: r.ID, ended: r.State.Ended(), attempt: f.attempt, lines: c.newLiveLines()}
		if f.to == toStdout {
			return fetch.toStdout(ctx, chosen)
		}
		if err := fetch.all(ctx, chosen, f.to); err != nil {
			return err
		}
	}
	if !r.State.Ended() && len(files) > 0 {
		c.sayf("%s goes on: this is what it has left so far", r.ID)
	}
	switch {
	case f.format.json():
		return c.printJSON(chosen)
	case f.to != "":
		return nil
	case len(files) == 0:
		c.sayf("%s", leftNothing(r))
		return nil
	}
	return c.print(fileTable(chosen, f.format.wide()))
}

func leftNothing(r *run.Run) string {
	if r.State.Ended() {
		return r.ID + " left nothing"
	}
	return fmt.Sprintf("%s has left nothing here so far: what it leaves comes home when the attempt ends", r.ID)
}

func fileTable(files []controller.OutputFile, wide bool) string {
	var t table
	if wide {
		t.head("MODE", "SIZE", "BYTES", "DIGEST", "PATH")
	} else {
		t.head("SIZE", "DIGEST", "PATH")
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
			t.add(plain(fmt.Sprintf("%04o", f.Mode)), plain(bytes), plain(fmt.Sprint(f.Size)), plain(f.Digest), plain(name))
		} else {
			t.add(plain(bytes), plain(short(f.Digest)), plain(name))
		}
	}
	return t.render(0)
}
