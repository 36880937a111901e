package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// askFor is what --password without a value means.
const askFor = "ask"

// attachArgs takes NAME, and what follows --password: the flag may stand alone,
// so that its value arrives here unless it was written with a "=".
func (f *attachFlags) attachArgs(cmd *cobra.Command, args []string) error {
	if f.password == askFor && len(args) > 1 {
		at := slices.IndexFunc(args, func(a string) bool { return strings.Contains(a, ":") })
		if at < 0 {
			return notReference(cmd, compute.PurposePassword)
		}
		f.password = args[at]
		args = slices.Delete(slices.Clone(args), at, at+1)
	}
	if err := wants(1, 1, "name")(cmd, args); err != nil {
		return err
	}
	// A password in the place of the name would be shown, and written down.
	if f.password == askFor && follows(os.Args, "--password", args[0]) {
		return server.Wrong("--password: what follows it may be the password, and no name of the target comes before it", cmd.CommandPath(),
			"give the target's NAME first, and --password last: it is asked for")
	}
	f.name = args[0]
	return nil
}

// follows says whether of two arguments one comes right after the other.
func follows(args []string, first, second string) bool {
	at := slices.Index(args, first)
	return at >= 0 && at+1 < len(args) && args[at+1] == second
}

func notReference(cmd *cobra.Command, flag string) error {
	_, err := compute.ParseReference("")
	return wrongReference(cmd, flag, err)
}

// wrongReference is an error that does not repeat what was given: it may be
// the secret.
func wrongReference(cmd *cobra.Command, flag string, err error) error {
	if e, ok := err.(*compute.ReferenceError); ok { //nolint:errorlint // as ParseReference makes it
		return server.Wrong("--"+flag+": "+e.What, cmd.CommandPath(), e.Hint)
	}
	return wrongFlag(cmd, flag, err)
}

// secrets takes the references of all flags that have some.
func (f *attachFlags) secrets(cmd *cobra.Command, a *controller.Attachment) error {
	if f.password != askFor {
		if err := setSecret(cmd, a, compute.PurposePassword, "password", f.password); err != nil {
			return err
		}
	}
	if err := setSecret(cmd, a, compute.PurposePassphrase, "passphrase", f.passphrase); err != nil {
		return err
	}
	for _, one := range f.jumpPasswords {
		purpose, reference := compute.PurposeJumpPassword, one
		if machine, rest, ok := strings.Cut(one, "="); ok && !isReference(one) {
			purpose, reference = compute.PasswordOf(machine), rest
		}
		if err := setSecret(cmd, a, purpose, "jump-password", reference); err != nil {
			return err
		}
	}
	return nil
}

func isReference(text string) bool {
	_, err := compute.ParseReference(text)
	return err == nil
}

// setSecret reads a reference. The value of a variable is sent along: the agent
// seals it, since the variable may not be there when it connects again.
func setSecret(cmd *cobra.Command, a *controller.Attachment, purpose, flag, given string) error {
	if given == "" {
		return nil
	}
	ref, err := compute.ParseReference(given)
	if err != nil {
		return wrongReference(cmd, flag, err)
	}
	if name, ok := ref.Env(); ok {
		value := os.Getenv(name)
		if value == "" {
			return server.Wrong(fmt.Sprintf("--%s: the variable %s is not set", flag, name), cmd.CommandPath(), "")
		}
		a.Secrets[purpose] = value
	}
	a.Config.SetSecret(purpose, ref)
	return nil
}

// tellSecret asks the person for a secret. Nothing means that there is none;
// a password that there is not is an error, since there is no other way in.
func (c *cli) tellSecret(a *controller.Attachment, need *compute.SecretNeededError) error {
	if !interactive() {
		return need
	}
	value, err := c.askSecret(need.What)
	switch {
	case err != nil:
		return err
	case value != "":
		a.Config.SetSecret(need.Purpose, compute.Given)
		a.Secrets[need.Purpose] = value
	case strings.HasPrefix(need.Purpose, compute.PurposePassphrase):
		a.Config.SetSecret(need.Purpose, compute.None)
	default:
		return need
	}
	return nil
}

// tellPassword asks for the password before anything is tried: --password alone.
func (c *cli) tellPassword(cmd *cobra.Command, a *controller.Attachment) error {
	if !interactive() {
		return server.Wrong("--password: there is no terminal to ask for it on", cmd.CommandPath(), "give --password=env:NAME, file:PATH or secret:NAME")
	}
	value, err := c.askSecret("password of " + a.Config.Address)
	if err != nil {
		return err
	}
	if value == "" {
		return server.Wrong("--password: it is empty", cmd.CommandPath(), "")
	}
	a.Config.SetSecret(compute.PurposePassword, compute.Given)
	a.Secrets[compute.PurposePassword] = value
	return nil
}
