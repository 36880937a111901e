package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

func newComputeAttach(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "attach", Short: "Make a machine a compute target"}
	cmd.AddCommand(newAttachSSH(c), newAttachCluster(c), newAttachSpark(c), newAttachRetired())
	makeGroup(cmd)
	return cmd
}

// attachFlags are those of runner compute attach ssh.
type attachFlags struct {
	name                                    string
	address, identity, password, passphrase string
	jumpPasswords                           []string
	knownHosts, hostKey, remoteDir, as      string
	micromamba, micromambaSum               string
	takeOver, allowSame                     bool
}

func newAttachSSH(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ssh NAME",
		Short: "A machine over SSH",
		Long: `Attach reaches the machine, logs in, says what it has, marks it as ours and
keeps it as a target under NAME. Nothing is installed there but what lies in
~/.runner (or --remote-dir), and nothing needs root.

User, port, keys, jump hosts, proxy commands and host key aliases of
~/.ssh/config count. The machine's host key must be known (known_hosts), given,
or confirmed by you. What the machine, or one on the way, asks for and nobody
gave (a password, a key's passphrase) you are asked for, on a terminal; it is
kept sealed.`,
		Example: `  runner compute attach ssh gpubox --address me@gpubox.example.org
  runner compute attach ssh gpubox --address gpubox --identity ~/.ssh/id_ed25519
  SSHPASS=... runner compute attach ssh gpubox --address me@10.0.0.5 --password env:SSHPASS`,
	}
	var f attachFlags
	cmd.Args = f.attachArgs
	f.logins(cmd)
	flags := cmd.Flags()
	flags.Lookup("address").Usage += "; NAME itself without it"
	flags.StringVar(&f.remoteDir, "remote-dir", "", "`DIR` on the machine for our things (default ~/.runner)")
	flags.StringVar(&f.as, "as", "", "\"instance\": a compute instance, whose queue can be stopped and started")
	flags.StringVar(&f.micromamba, "install-micromamba", "",
		"put a micromamba into --remote-dir, for conda environments there: the project's own release, or `=FILE|URL`")
	flags.Lookup("install-micromamba").NoOptDefVal = itsRelease
	flags.StringVar(&f.micromambaSum, "micromamba-sha256", "", "`DIGEST` that the micromamba must have")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := f.attachment(cmd, f.name)
		if err != nil {
			return err
		}
		if f.password == askFor {
			if err := c.tellPassword(cmd, a); err != nil {
				return err
			}
		}
		return c.onTarget(cmd, f.name, func(ctx context.Context, client *client.Client, _ string) error {
			t, err := c.attach(ctx, client, a)
			if err != nil {
				return err
			}
			if as.json() {
				return c.printJSON(t)
			}
			return c.print(c.targetPage(t, t.Facts) + c.warnings(t.Facts))
		})
	}
	return cmd
}

// logins adds the flags that say how a machine is reached, and whose it is.
func (f *attachFlags) logins(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.address, "address", "", "`[USER@]HOST[:PORT]`, or an alias of the ssh configuration")
	flags.StringVar(&f.identity, "identity", "", "private key `FILE`; those of the ssh configuration and the ssh-agent without it")
	flags.StringVar(&f.password, "password", "", "where the password is: `env:NAME`, file:PATH or secret:NAME; alone: asked for")
	flags.Lookup("password").NoOptDefVal = askFor
	flags.StringVar(&f.passphrase, "passphrase", "", "where the passphrase of the key is: `env:NAME`, file:PATH or secret:NAME")
	flags.StringArrayVar(&f.jumpPasswords, "jump-password", nil,
		"where the password of a jump host is: `[HOST=]env:NAME`, file:PATH or secret:NAME (repeatable)")
	flags.StringVar(&f.knownHosts, "known-hosts", "", "`FILE` of known host keys; those of the ssh configuration without it")
	flags.StringVar(&f.hostKey, "host-key", "", "`FINGERPRINT` (SHA256:...) that the machine's key must have")
	flags.BoolVar(&f.takeOver, "take-over", false, "take the machine from the installation that has it attached")
	flags.BoolVar(&f.allowSame, "allow-same-machine", false, "also when it is this computer, or attached already under another name")
	_ = cmd.MarkFlagFilename("identity") // fails only for unknown flags
}

// newAttachRetired says what to use instead of a kind that is no more.
func newAttachRetired() *cobra.Command {
	return &cobra.Command{
		Use: "adla", Hidden: true, DisableFlagParsing: true, Short: "Data Lake Analytics (retired)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return server.Wrong("Azure Data Lake Analytics was retired on 29 February 2024", cmd.CommandPath(),
				"use Spark instead, or a machine over SSH: runner compute attach ssh")
		},
	}
}

// attachment is what the flags ask for.
func (f *attachFlags) attachment(cmd *cobra.Command, name string) (*controller.Attachment, error) {
	if err := compute.CheckName(name); err != nil {
		return nil, server.Wrong(err.Error(), "", "")
	}
	a := &controller.Attachment{
		Name: name, Kind: compute.SSH, Secrets: map[string]string{}, TakeOver: f.takeOver, AllowSameMachine: f.allowSame,
		Config: compute.Config{Address: cmp.Or(f.address, name), HostKey: f.hostKey, RemoteDir: f.remoteDir},
	}
	switch f.as {
	case "":
	case "instance":
		a.Instance = true
	default:
		return nil, server.Wrong(fmt.Sprintf("--as: a machine cannot be attached as %q", f.as), cmd.CommandPath(), "--as instance, or no --as")
	}
	if f.hostKey != "" && !strings.HasPrefix(f.hostKey, "SHA256:") {
		return nil, server.Wrong("--host-key: not a fingerprint of the form SHA256:...", cmd.CommandPath(),
			"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints it on the machine")
	}
	if f.hostKey != "" && f.knownHosts != "" {
		return nil, server.Wrong("--host-key and --known-hosts are two answers to one question", cmd.CommandPath(), "give one of them")
	}
	for _, file := range []struct{ flag, given string }{{"identity", f.identity}, {"known-hosts", f.knownHosts}} {
		abs, err := absFile(file.given)
		if err != nil {
			return nil, wrongFlag(cmd, file.flag, err)
		}
		if file.flag == "identity" {
			a.Config.Identity = abs
		} else {
			a.Config.KnownHosts = abs
		}
	}
	if err := f.secrets(cmd, a); err != nil {
		return nil, err
	}
	if err := f.tools(cmd, a); err != nil {
		return nil, err
	}
	if remote() == "" {
		a.Config.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
	}
	return a, nil
}

// itsRelease is what --install-micromamba without a value means.
const itsRelease = "release"

var sha256Form = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)

// tools are what attaching brings to the machine.
func (f *attachFlags) tools(cmd *cobra.Command, a *controller.Attachment) error {
	if f.micromambaSum != "" && !sha256Form.MatchString(f.micromambaSum) {
		return server.Wrong("--micromamba-sha256: not a sha256 of 64 hexadecimal digits", cmd.CommandPath(), "")
	}
	switch m := f.micromamba; {
	case m == "" && f.micromambaSum != "":
		return server.Wrong("--micromamba-sha256 says nothing without --install-micromamba", cmd.CommandPath(), "give both")
	case m == "":
		return nil
	case m == itsRelease:
		a.Config.Micromamba = &compute.Micromamba{SHA256: f.micromambaSum}
	case strings.Contains(m, "://"):
		a.Config.Micromamba = &compute.Micromamba{Source: m, SHA256: f.micromambaSum}
	default:
		file, err := absFile(m)
		if err != nil {
			return wrongFlag(cmd, "install-micromamba", err)
		}
		a.Config.Micromamba = &compute.Micromamba{Source: file, SHA256: f.micromambaSum}
	}
	return nil
}

// absFile is a file that must be there. On a server's computer it is the
// server that looks.
func absFile(path string) (string, error) {
	if path == "" || remote() != "" {
		return path, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(abs); err != nil {
		return "", err
	}
	return abs, nil
}

// interactive says whether a person can be asked.
func interactive() bool { return isatty.IsTerminal(os.Stdin.Fd()) }

// ask writes a question to the terminal, wherever our outputs go.
func (c *cli) ask(format string, args ...any) (err error) {
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		_, err = fmt.Fprintf(c.err, format, args...)
		return err
	}
	defer closeWith(&err, tty.Close)
	_, err = fmt.Fprintf(tty, format, args...)
	return err
}

// mostQuestions is how many host keys may have to be confirmed, and secrets
// told, on the way to a machine.
const mostQuestions = 20

// attach asks the agent, and the person for each host key that nobody knows and
// each secret that is missing.
func (c *cli) attach(ctx context.Context, client *client.Client, a *controller.Attachment) (*controller.TargetInfo, error) {
	for range mostQuestions {
		answer, err := c.attachOnce(ctx, client, a)
		switch {
		case err != nil:
			return nil, err
		case answer.Target != nil:
			return answer.Target, nil
		case answer.NeedsSecret != nil:
			if err := c.tellSecret(a, answer.NeedsSecret); err != nil {
				return nil, err
			}
			continue
		}
		key := answer.UnknownHostKey
		if key == nil {
			return nil, server.Wrong("the server's answer is not understood", "", "runner and its server may be of different versions: see runner version")
		}
		if !interactive() {
			return nil, key
		}
		err = c.ask("The key of %s is not known yet:\n  %s %s\nIs it the machine's own? [yes/no] ",
			tidyLine(key.Host), tidyLine(key.Type), tidyLine(key.Fingerprint))
		if err != nil {
			return nil, err
		}
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		if strings.TrimSpace(line) != "yes" {
			return nil, key
		}
		a.Config.Accepted = append(a.Config.Accepted, key.Fingerprint)
	}
	return nil, server.Wrong("too much is asked for on the way to the machine", a.Config.Address, "")
}

// attachOnce asks the agent, and shows how far it is where that takes long.
func (c *cli) attachOnce(ctx context.Context, client *client.Client, a *controller.Attachment) (*server.AttachAnswer, error) {
	lines := c.newLiveLines()
	defer lines.clear()
	spoke := c.now()
	return client.Attach(ctx, *a, func(p controller.Progress) {
		lines.show(p.Step, p.Detail, p.Done, p.Total, p.Unit)
		if now := c.now(); !lines.enabled && !c.quiet && now.Sub(spoke) >= speakEvery {
			spoke = now
			_, _ = fmt.Fprintf(c.err, "%s %s, %s of %s\n", p.Step, tidyLine(p.Detail), size(p.Done), size(p.Total)) // it says nothing that is needed
		}
	})
}
