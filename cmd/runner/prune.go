package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

const defaultPruneAge = "30d"

// pruneFlags are the flags of the commands that free space.
type pruneFlags struct {
	olderThan string
	target    string
	dryRun    bool
	format    *format
}

func (f *pruneFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.olderThan, "older-than", defaultPruneAge, "only "+what+" longer ago than `DURATION`")
	cmd.Flags().StringVar(&f.target, "target", "", "only on the target `NAME`; all that can be reached without it")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be freed, and free nothing")
	f.format = addFormat(cmd, asTable, asJSON)
}

func (f *pruneFlags) age(cmd *cobra.Command) (time.Duration, error) {
	if _, err := strconv.ParseFloat(f.olderThan, 64); err == nil && f.olderThan != "0" {
		return 0, server.Wrong(fmt.Sprintf("--older-than: %s what?", f.olderThan), cmd.CommandPath(), "for example "+f.olderThan+"d, or "+f.olderThan+"h")
	}
	d, err := runconfig.ParseDuration(f.olderThan)
	if err == nil && d < 0 {
		err = fmt.Errorf("%q is less than nothing", f.olderThan)
	}
	if err != nil {
		return 0, wrongFlag(cmd, "older-than", err)
	}
	return d.Std(), nil
}

// request is what the flags ask for.
func (f *pruneFlags) request(cmd *cobra.Command) (server.PruneRequest, error) {
	age, err := f.age(cmd)
	return server.PruneRequest{OlderThan: age.Seconds(), Target: f.target, DryRun: f.dryRun}, err
}

func newPrune(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Free what nothing needs any more",
		Long: `Prune removes runs that ended long ago with their logs and outputs, and, here
and on every target that can be reached, the snapshots, environments, images and
inputs that no run needs then and nobody used since. What is in use stays.`,
		Example: "  runner prune --older-than 14d --keep-last 5 --dry-run\n  runner prune --state Failed,Canceled --older-than 1d",
		Args:    wants(0, 0, ""),
	}
	var f pruneFlags
	f.add(cmd, "runs that ended, and things last used,")
	c.completeFlag(cmd, "target", c.targetNames)
	keep := cmd.Flags().Int("keep-last", 0, "the last `N` runs of each experiment stay, however old")
	states := cmd.Flags().StringSlice("state", nil, "only runs that ended in a state: "+strings.Join(endStates(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(endStates(), cobra.ShellCompDirectiveNoFileComp)) // fails only for unknown flags
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := f.request(cmd)
		if err != nil {
			return err
		}
		if *keep < 0 {
			return server.Wrong("--keep-last: less than none", cmd.CommandPath(), "")
		}
		p.KeepLast = *keep
		if p.States, err = parseStates(*states); err != nil {
			return err
		}
		for _, s := range p.States {
			if !s.Ended() {
				return server.Wrong(fmt.Sprintf("--state: a run that is %s has not ended", s), cmd.CommandPath(), "one of "+strings.Join(endStates(), ", "))
			}
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		report, err := client.Prune(cmd.Context(), p)
		if err != nil {
			return err
		}
		return c.showPruned(report, &f)
	}
	return cmd
}

// endStates are the states that a run ends in.
func endStates() (names []string) {
	for _, s := range run.States {
		if s.Ended() {
			names = append(names, string(s))
		}
	}
	return names
}

// showPruned prints what was freed where, and says which targets were not.
func (c *cli) showPruned(r *controller.PruneReport, f *pruneFlags) error {
	if f.format.json() {
		if err := c.printJSON(r); err != nil {
			return err
		}
	} else if err := c.print(c.prunedTable(r)); err != nil {
		return err
	}
	for _, k := range r.Kept {
		c.sayf("kept %s: %s", k.ID, tidyLine(k.Why))
	}
	var failed error
	for _, p := range r.Places {
		if p.Error == "" {
			continue
		}
		if p.Unreachable && p.Target != f.target {
			c.sayf("not pruned: %s: %s", p.Target, tidyLine(p.Error))
			continue
		}
		problem := &server.Problem{Code: server.Internal, Message: tidyLine(p.Error), Where: p.Target}
		if p.Unreachable {
			problem.Code = server.Unavailable
		}
		failed = cmp.Or[error](failed, problem)
	}
	return failed
}

func (c *cli) prunedTable(r *controller.PruneReport) string {
	words := "freed"
	if r.DryRun {
		words = "would free"
	}
	var t table
	t.head("WHERE", "WHAT", "COUNT", "SIZE")
	things := 0
	for _, p := range r.Places {
		for _, freed := range p.Freed {
			t.add(plain(p.Target), plain(string(freed.Kind)), plain(strconv.Itoa(freed.Count)), plain(size(freed.Bytes)))
			things++
		}
	}
	if things == 0 {
		return "there is nothing to free\n"
	}
	return t.render(c.out.width()) + fmt.Sprintf("%s %s\n", words, size(r.Bytes))
}
