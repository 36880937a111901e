package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/spf13/cobra"
)

// defaultShown is how many runs ps lists, besides those that go on.
const defaultShown = 20

func newPS(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List runs, newest first",
		Long:  fmt.Sprintf("Ps lists the runs that go on and the newest %d of all, newest first.", defaultShown),
		Args:  wants(0, 0, ""),
	}
	var f controller.Filter
	var states, tags []string
	flags := cmd.Flags()
	all := flags.BoolP("all", "a", false, "list all runs")
	flags.StringVar(&f.Experiment, "experiment", "", "only those of an experiment `NAME`")
	flags.StringVar(&f.Target, "target", "", "only those on a compute target `NAME`")
	flags.StringSliceVar(&states, "state", nil, "only those in a state: "+strings.Join(stateNames(), ", "))
	flags.StringArrayVar(&tags, "tag", nil, "only those with a tag `KEY=VALUE`")
	flags.IntVar(&f.Limit, "limit", 0, "list at most so many")
	c.completeFlag(cmd, "target", c.targetNames)
	c.completeFlag(cmd, "experiment", c.experimentNames)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp)) // fails only for unknown flags
	as := addFormat(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if f.States, err = parseStates(states); err != nil {
			return err
		}
		if f.Tags, err = parseTags(tags); err != nil {
			return err
		}
		if f.Limit < 0 || cmd.Flags().Changed("limit") && f.Limit == 0 {
			return server.Wrong("--limit counts from 1", cmd.CommandPath(), "--all lists all runs")
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		list, err := listRuns(cmd.Context(), client, f, *all)
		if err != nil {
			return err
		}
		if as.json() {
			return c.printJSON(list)
		}
		if len(list) == 0 {
			c.sayf("no runs")
			return nil
		}
		return c.print(c.runTable(list, as.wide()))
	}
	return cmd
}

func stateNames() []string {
	var names []string
	for _, s := range run.States {
		names = append(names, string(s))
	}
	return names
}

func parseStates(words []string) ([]run.State, error) {
	var states []run.State
	for _, word := range words {
		i := slices.IndexFunc(run.States, func(s run.State) bool { return strings.EqualFold(string(s), word) })
		if i < 0 {
			return nil, server.Wrong(fmt.Sprintf("unknown state %q", word), "--state", yamlpos.DidYouMean(word, stateNames()))
		}
		states = append(states, run.States[i])
	}
	return states, nil
}

func parseTags(words []string) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	tags := make(map[string]string, len(words))
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, server.Wrong("a tag has the form key=value", "--tag "+word, "")
		}
		tags[key] = value
	}
	return tags, nil
}

// listRuns gives the newest runs and, unless a limit was asked for, those that
// go on, however old they are.
func listRuns(ctx context.Context, c *client.Client, f controller.Filter, all bool) ([]run.Run, error) {
	if all || f.Limit > 0 {
		return listed(c.List(ctx, f))
	}
	f.Limit = defaultShown
	list, err := c.List(ctx, f)
	if err != nil || len(list) < defaultShown {
		return listed(list, err)
	}
	f.Active, f.Limit = true, 0
	active, err := c.List(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, r := range active {
		if !slices.ContainsFunc(list, func(have run.Run) bool { return have.ID == r.ID }) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b run.Run) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list, nil
}

// listed makes an empty list one in JSON too.
func listed(list []run.Run, err error) ([]run.Run, error) {
	if list == nil {
		list = []run.Run{}
	}
	return list, err
}

func (c *cli) runTable(list []run.Run, wide bool) string {
	now := c.now()
	named := slices.ContainsFunc(list, func(r run.Run) bool { return r.DisplayName != "" })
	var t table
	if wide {
		t.head("ID", "EXPERIMENT", "NAME", "STATE", "OUTCOME", "EXIT", "TARGET", "PRIORITY", "ATTEMPTS", "AGE", "DURATION", "MESSAGE")
	} else {
		head := []string{"ID", "EXPERIMENT", "STATE", "TARGET", "AGE", "DURATION", "MESSAGE"}
		if named {
			head = slices.Insert(head, 2, "NAME")
		}
		t.head(head...)
	}
	for i := range list {
		r := &list[i]
		state := cell{text: string(r.State), painted: stateIn(c.out, r.State)}
		message := plain(firstLine(r.Message))
		old, ran := plain(age(now.Sub(r.CreatedAt))), plain(duration(r, now))
		if !wide {
			row := []cell{plain(r.ID), plain(r.Experiment), state, plain(r.Target), old, ran, message}
			if named {
				row = slices.Insert(row, 2, plain(tidyLine(r.DisplayName)))
			}
			t.add(row...)
			continue
		}
		outcome, code := "", ""
		if r.Outcome != nil {
			outcome = string(*r.Outcome)
		}
		if r.ExitCode != nil {
			code = fmt.Sprint(*r.ExitCode)
		}
		t.add(plain(r.ID), plain(r.Experiment), plain(tidyLine(r.DisplayName)), state, plain(outcome), plain(code), plain(r.Target),
			plain(fmt.Sprint(r.Priority)), plain(fmt.Sprint(len(r.Attempts))), old, ran, message)
	}
	width := c.out.width()
	if wide {
		width = 0
	}
	return t.render(width)
}
