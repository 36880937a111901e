package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

func newSecret(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Passwords and passphrases that targets refer to as secret:NAME",
		Long: `A stored secret is kept sealed in $RUNNER_HOME and is never shown again.
Targets refer to it by name (--password secret:NAME).`,
	}
	cmd.AddCommand(newSecretSet(c), newSecretList(c), newSecretDelete(c))
	makeGroup(cmd)
	return cmd
}

func newSecretSet(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Store a secret: asked for on a terminal, or read from standard input",
		Long: `Set stores a secret under NAME, in place of one that is there. On a terminal it
is asked for without being shown; else all of standard input is the secret,
without the end of its last line.`,
		Example: `  runner secret set GPUBOX_PASSWORD
  pass show gpubox | runner secret set GPUBOX_PASSWORD`,
		Args: wants(1, 1, "name"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := compute.CheckSecretName(args[0]); err != nil {
			return server.Wrong(err.Error(), cmd.CommandPath(), "")
		}
		value, err := c.readSecret(args[0])
		if err != nil {
			return err
		}
		if value == "" {
			return server.Wrong("the secret is empty", args[0], "")
		}
		return c.onSecret(cmd.Context(), func(ctx context.Context, client *client.Client) error {
			if err := client.SetSecret(ctx, args[0], value); err != nil {
				return err
			}
			c.sayf("the secret %s is stored", args[0])
			return nil
		})
	}
	return cmd
}

func newSecretList(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the names of stored secrets", Args: wants(0, 0, "")}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.onSecret(cmd.Context(), func(ctx context.Context, client *client.Client) error {
			all, err := client.Secrets(ctx)
			switch {
			case err != nil:
				return err
			case as.json():
				return c.printJSON(all)
			}
			return c.print(c.secretTable(all))
		})
	}
	return cmd
}

func (c *cli) secretTable(all []controller.SecretInfo) string {
	var t table
	t.head("NAME", "SET", "USED BY")
	for _, one := range all {
		users := "-"
		if len(one.Targets) > 0 {
			users = strings.Join(one.Targets, ", ")
		}
		t.add(plain(one.Name), plain(age(c.now().Sub(one.SetAt))+" ago"), plain(users))
	}
	return t.render(c.out.width())
}

func newSecretDelete(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Forget a secret that no target refers to",
		Args: wants(1, 1, "secret"), ValidArgsFunction: c.completeSecrets,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.onSecret(cmd.Context(), func(ctx context.Context, client *client.Client) error {
			if err := client.DeleteSecret(ctx, args[0]); err != nil {
				return err
			}
			c.sayf("the secret %s is forgotten", args[0])
			return nil
		})
	}
	return cmd
}

// onSecret is a command about stored secrets.
func (c *cli) onSecret(ctx context.Context, do func(context.Context, *client.Client) error) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return do(ctx, client)
}

// maxStdinSecret is how long a secret on standard input may be, in bytes.
const maxStdinSecret = 64 << 10

// readSecret reads a secret from the terminal, or all of standard input.
func (c *cli) readSecret(name string) (string, error) {
	if interactive() {
		return c.askSecret("value of " + name)
	}
	data, err := io.ReadAll(io.LimitReader(os.Stdin, maxStdinSecret+1))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if len(data) > maxStdinSecret {
		return "", server.Wrong(fmt.Sprintf("the secret is longer than %d KiB", maxStdinSecret>>10), name, "")
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// askSecret asks for a secret on the terminal, which does not show it.
func (c *cli) askSecret(what string) (string, error) {
	if err := c.ask("%s: ", tidyLine(what)); err != nil {
		return "", err
	}
	value, err := term.ReadPassword(int(os.Stdin.Fd()))
	if err = errors.Join(err, c.ask("\n")); err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	return string(value), nil
}

// completeSecrets offers the secrets' names to the shell.
func (c *cli) completeSecrets(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	err := c.onSecret(cmd.Context(), func(ctx context.Context, client *client.Client) error {
		all, err := client.Secrets(ctx)
		for _, one := range all {
			names = append(names, one.Name)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
