package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/spf13/cobra"
)

func newCompute(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "compute", Short: "Where runs run: this computer, and machines that you attach"}
	cmd.AddCommand(newComputeAttach(c), newComputeList(c), newComputeShow(c), newComputeCheck(c),
		newComputeStop(c), newComputeStart(c), newComputeDetach(c))
	makeGroup(cmd)
	return cmd
}

// onTarget is a command about one target, whose answer is shown.
func (c *cli) onTarget(cmd *cobra.Command, name string, do func(context.Context, *client.Client, string) error) error {
	client, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer client.Close()
	return do(cmd.Context(), client, name)
}

func newComputeList(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List compute targets", Args: wants(0, 0, "")}
	as := addFormat(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		all, err := client.Targets(cmd.Context())
		switch {
		case err != nil:
			return err
		case as.json():
			return c.printJSON(all)
		}
		return c.print(c.targetTable(all, as.wide()))
	}
	return cmd
}

func (c *cli) targetTable(all []controller.TargetInfo, wide bool) string {
	var t table
	head := []string{"NAME", "KIND", "STATE", "CPUS", "MEMORY", "GPUS", "RUNNING", "WAITING"}
	if wide {
		head = append(head, "ADDRESS", "CHECKED")
	}
	t.head(append(head, "MESSAGE")...)
	for i := range all {
		one := &all[i]
		kind := string(one.Kind)
		if one.Instance && one.Config != nil {
			kind += " instance"
		}
		memory := "-"
		if one.Memory > 0 {
			memory = size(one.Memory)
		}
		row := []cell{
			plain(one.Name), plain(kind), c.targetState(one.State), plain(fmt.Sprintf("%g", one.CPUs)), plain(memory),
			plain(fmt.Sprint(len(one.GPUs))), plain(fmt.Sprint(one.Running)), plain(fmt.Sprint(one.Waiting)),
		}
		if wide {
			address, checked := "-", "-"
			if one.Config != nil {
				address = tidyLine(one.Config.Address)
			}
			if one.CheckedAt != nil {
				checked = age(c.now().Sub(*one.CheckedAt)) + " ago"
			}
			row = append(row, plain(address), plain(checked))
		}
		t.add(append(row, plain(firstLine(one.Message)))...)
	}
	return t.render(c.out.width())
}

// targetState writes a state in its colour.
func (c *cli) targetState(state controller.TargetState) cell {
	word := string(state)
	switch state {
	case controller.TargetReady:
		return cell{text: word, painted: c.out.green(word)}
	case controller.TargetUnreachable:
		return cell{text: word, painted: c.out.red(word)}
	case controller.TargetStopped:
		return cell{text: word, painted: c.out.yellow(word)}
	}
	return plain(word)
}

func newComputeShow(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Everything about a target, as it was when it was attached", Args: wants(1, 1, "target"),
		Long: `Show tells everything about a target, as it was when it was attached, and the
nodes of a cluster as its engine says that they are now.`,
		ValidArgsFunction: c.completeTargets,
	}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.onTarget(cmd, args[0], func(ctx context.Context, client *client.Client, name string) error {
			t, err := client.Target(ctx, name)
			if err != nil {
				return err
			}
			if as.json() {
				return c.printJSON(t)
			}
			return c.print(c.targetPage(t, t.Facts))
		})
	}
	return cmd
}

func newComputeCheck(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check NAME", Short: "Reach a target anew, and say what has changed since it was attached",
		Args: wants(1, 1, "target"), ValidArgsFunction: c.completeTargets,
	}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.onTarget(cmd, args[0], func(ctx context.Context, client *client.Client, name string) error {
			check, err := client.CheckTarget(ctx, name)
			if err != nil {
				return err
			}
			if as.json() {
				return c.printJSON(check)
			}
			return c.print(c.checkPage(check))
		})
	}
	return cmd
}

// checkPage says what a check found.
func (c *cli) checkPage(check *controller.TargetCheck) string {
	var b strings.Builder
	b.WriteString(c.targetPage(&check.Target, check.Facts))
	b.WriteString(c.warnings(check.Facts))
	b.WriteString("\n")
	if len(check.Changes) == 0 {
		b.WriteString("in order\n")
		return b.String()
	}
	b.WriteString("changed since it was attached\n")
	for _, change := range check.Changes {
		b.WriteString("  " + tidyLine(change) + "\n")
	}
	return b.String()
}

func newComputeStop(c *cli) *cobra.Command {
	return c.queueCommand("stop NAME", "Let no further run of an instance begin; what runs goes on",
		func(ctx context.Context, client *client.Client, name string) (*controller.TargetInfo, error) {
			return client.StopQueue(ctx, name)
		},
		func(t *controller.TargetInfo) string {
			return fmt.Sprintf("the queue of %s is stopped: %d waiting, %d running", t.Name, t.Waiting, t.Running)
		})
}

func newComputeStart(c *cli) *cobra.Command {
	return c.queueCommand("start NAME", "Let the runs of an instance begin again",
		func(ctx context.Context, client *client.Client, name string) (*controller.TargetInfo, error) {
			return client.StartQueue(ctx, name)
		},
		func(t *controller.TargetInfo) string { return "the queue of " + t.Name + " grants slots" })
}

func (c *cli) queueCommand(
	use, short string, do func(context.Context, *client.Client, string) (*controller.TargetInfo, error), words func(*controller.TargetInfo) string,
) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: wants(1, 1, "target"), ValidArgsFunction: c.completeTargets}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.onTarget(cmd, args[0], func(ctx context.Context, client *client.Client, name string) error {
			t, err := do(ctx, client, name)
			if err != nil {
				return err
			}
			if as.json() {
				return c.printJSON(t)
			}
			c.sayf("%s", words(t))
			return nil
		})
	}
	return cmd
}

func newComputeDetach(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "detach NAME", Short: "Give a target up, and remove what we put there",
		Long: `Detach removes what runner put on the machine (environments, pictures of
sources, checkpoint directories, its program and its claim), nothing else, and
forgets the target. What runs brought home stays.`,
		Args: wants(1, 1, "target"), ValidArgsFunction: c.completeTargets,
	}
	var d controller.Detachment
	cmd.Flags().BoolVar(&d.Force, "force", false, "cancel its unfinished runs first")
	cmd.Flags().BoolVar(&d.Forget, "forget", false, "leave the machine as it is: it is there no more")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.onTarget(cmd, args[0], func(ctx context.Context, client *client.Client, name string) error {
			if err := client.Detach(ctx, name, d); err != nil {
				return err
			}
			c.sayf("%s is detached", name)
			return nil
		})
	}
	return cmd
}

// completeTargets offers the targets' names to the shell.
func (c *cli) completeTargets(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	client, err := c.connect(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer client.Close()
	all, err := client.Targets(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]cobra.Completion, len(all))
	for i := range all {
		names[i] = cobra.CompletionWithDesc(all[i].Name, string(all[i].Kind))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
