package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

func newEnvironment(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "environment",
		Aliases: []string{"env"},
		Short:   "What scripts need to run: Python, packages, an image",
	}
	cmd.AddCommand(newEnvironmentBuild(c), newEnvironmentList(c), newEnvironmentShow(c), newEnvironmentLock(c), newEnvironmentPrune(c))
	makeGroup(cmd)
	return cmd
}

func newEnvironmentBuild(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build FILE",
		Short: "Make an environment and register its name",
		Long: `Build makes the environment that FILE describes (our own form, or conda's
environment.yml) on this computer. A spec can then use it by name.`,
		Example: "  runner environment build sklearn.yaml --name sklearn",
		Args:    wants(1, 1, "file"),
	}
	name := cmd.Flags().String("name", "", "register it as `NAME`; the file's own name: field without it")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		info, err := c.buildEnvironment(cmd.Context(), args[0], *name)
		if err != nil {
			return err
		}
		if as.json() {
			return c.printJSON(info)
		}
		return c.print(fmt.Sprintf("%s %s\n", cmp.Or(info.Name, "(no name)"), info.Digest))
	}
	return cmd
}

func (c *cli) buildEnvironment(ctx context.Context, path, name string) (*controller.EnvironmentInfo, error) {
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	lines := c.newLiveLines()
	defer lines.clear()
	s := submitting{cli: c, lines: lines}
	defer s.later.Wait()
	resolved, err := resolveFile(ctx, path, s.contextPicture(&prepared{client: client}, nil))
	if err != nil {
		return nil, err
	}
	password, err := registryPassword(resolved)
	if err != nil {
		return nil, err
	}
	log := lines.above(c.err)
	if c.quiet {
		log = io.Discard
	}
	return client.BuildEnvironment(ctx,
		server.BuildRequest{Environment: resolved, Name: cmp.Or(name, resolved.Name), RegistryPassword: password}, log,
		func(p controller.Progress) { lines.show(p.Step, p.Detail, p.Done, p.Total, p.Unit) })
}

func newEnvironmentList(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List environments", Args: wants(0, 0, "")}
	as := addFormat(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		all, err := client.Environments(cmd.Context())
		switch {
		case err != nil:
			return err
		case as.json():
			return c.printJSON(all)
		case len(all) == 0:
			c.sayf("no environments")
			return nil
		}
		return c.print(c.environmentTable(all, as.wide()))
	}
	return cmd
}

func (c *cli) environmentTable(all []controller.EnvironmentInfo, wide bool) string {
	var t table
	t.head("NAME", "DIGEST", "KIND", "MADE", "SIZE", "USED", "IN USE BY")
	for _, e := range all {
		digest, made, used := short(e.Digest), "no", "never"
		if wide {
			digest = e.Digest
		}
		if e.Made {
			made = "yes"
		}
		if e.UsedAt != nil {
			used = age(c.now().Sub(*e.UsedAt)) + " ago"
		}
		t.add(plain(cmp.Or(e.Name, "-")), plain(digest), plain(e.Kind), plain(made), plain(size(e.Bytes)), plain(used),
			plain(strings.Join(e.InUseBy, " ")))
	}
	return t.render(c.out.width())
}

func newEnvironmentShow(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Everything about an environment", Args: wants(1, 1, "environment"),
		ValidArgsFunction: c.completeEnvironments,
	}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		e, err := client.Environment(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if as.json() {
			return c.printJSON(e)
		}
		return c.print(environmentPage(e))
	}
	return cmd
}

func environmentPage(e *controller.EnvironmentInfo) string {
	var t table
	row := func(name, value string) {
		if value != "" {
			t.add(plain(name), plain(tidy(value)))
		}
	}
	row("name", e.Name)
	row("digest", e.Digest)
	row("kind", e.Kind)
	if e.Made {
		row("made", "yes, "+size(e.Bytes))
	} else {
		row("made", "not on this computer")
	}
	if e.CreatedAt != nil {
		row("created", e.CreatedAt.Local().Format(time.DateTime))
	}
	if e.UsedAt != nil {
		row("used", e.UsedAt.Local().Format(time.DateTime))
	}
	row("in use by", strings.Join(e.InUseBy, " "))
	text := ""
	if r := e.Resolved; r != nil {
		row("interpreter", r.Interpreter)
		row("python", r.PythonVersion)
		if r.Docker != nil {
			row("image", r.Docker.Image)
		}
		if r.Requirements != "" {
			text += "\nrequirements\n" + indent(r.Requirements)
		}
		if r.Conda != nil {
			text += "\nconda packages\n" + indent(strings.Join(r.Conda.Dependencies, "\n"))
		}
		if r.Dockerfile != "" {
			text += "\nDockerfile\n" + indent(r.Dockerfile)
		}
	}
	return t.render(0) + text
}

func indent(text string) string {
	text = strings.TrimRight(tidy(text), "\n")
	return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}

func newEnvironmentLock(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock NAME", Short: "Print the exact versions it was made of", Args: wants(1, 1, "environment"),
		ValidArgsFunction: c.completeEnvironments,
	}
	ofRun := cmd.Flags().Bool("run", false, "NAME is a run: print the lock of the environment that it had")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		ask := client.EnvironmentLock
		if *ofRun {
			ask = client.RunLock
		}
		lock, err := ask(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if lock == "" {
			c.sayf("%s pins nothing", args[0])
		}
		return c.print(lock)
	}
	return cmd
}

func newEnvironmentPrune(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "prune", Short: "Remove environments that nobody used for long, here and on targets", Args: wants(0, 0, "")}
	var f pruneFlags
	f.add(cmd, "those last used")
	c.completeFlag(cmd, "target", c.targetNames)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := f.request(cmd)
		if err != nil {
			return err
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		report, err := client.PruneEnvironments(cmd.Context(), p)
		if err != nil {
			return err
		}
		return c.showPruned(report, &f)
	}
	return cmd
}

// completeEnvironments offers registered names to the shell.
func (c *cli) completeEnvironments(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	client, err := c.connect(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer client.Close()
	all, err := client.Environments(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, e := range all {
		if e.Name != "" {
			names = append(names, e.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
