package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

func newData(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "data", Short: "The data that runs read"}
	cmd.AddCommand(newDataCheck(c))
	makeGroup(cmd)
	return cmd
}

func newDataCheck(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check PATH",
		Short: "Say whether an input can be read, and how fast",
		Long: `Check reads some of what PATH names (as an input's path: a file or directory,
target:/DIR, run:RUN/outputs/DIR, https://... or a place in Azure Blob Storage)
where a run on the target would read it.`,
		Example: "  runner data check https://example.com/set.tar --target gpubox",
		Args:    wants(1, 1, "path"),
	}
	target := cmd.Flags().String("target", "local", "as a run on the target `NAME`")
	c.completeFlag(cmd, "target", c.targetNames)
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := args[0]
		if in := (runconfig.Input{Path: path}); in.Kind() == runconfig.InputLocal {
			abs, err := filepath.Abs(path)
			if err != nil {
				return err
			}
			path = abs
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		check, err := client.CheckData(cmd.Context(), path, *target)
		if err != nil {
			return err
		}
		if as.json() {
			err = c.printJSON(check)
		} else {
			err = c.print(dataWords(check))
		}
		return cmp.Or(err, unread(check))
	}
	return cmd
}

// dataWords is a check as people read it.
func dataWords(check *controller.DataCheck) string {
	var b strings.Builder
	for _, r := range check.Readings {
		who := cmp.Or(r.Where, "this computer")
		if r.Error != "" {
			verb := "reads it not"
			if len(check.Readings) > 1 && r.Where != "" {
				verb = "cannot reach it"
			}
			fmt.Fprintf(&b, "%s %s: %s\n", who, verb, tidyLine(r.Error))
			continue
		}
		fmt.Fprintf(&b, "%s reads it: %s\n", who, readingWords(r))
	}
	return b.String()
}

func readingWords(r backends.DataReading) string {
	all := "of unknown size"
	if r.Bytes >= 0 {
		all = size(r.Bytes)
	}
	words := plural(r.Files, "file") + ", " + all
	if r.Seconds > 0 && r.Read > 0 {
		words += fmt.Sprintf(", %s/s (%s in %s)", size(int64(float64(r.Read)/r.Seconds)), size(r.Read),
			took(time.Duration(r.Seconds*float64(time.Second))))
	}
	return words
}

// unread is the error of data that nobody could read.
func unread(check *controller.DataCheck) error {
	var problem error
	for _, r := range check.Readings {
		if r.Error == "" {
			return nil
		}
		problem = &server.Problem{Code: server.Unavailable, Message: "it cannot be read", Where: check.Path, Hint: r.Hint}
	}
	return problem
}
