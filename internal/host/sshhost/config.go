package sshhost

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// Config says how a machine is reached. Only Address is needed; what is not
// said here is taken from the user's ssh configuration.
type Config struct {
	// Address is [USER@]HOST[:PORT], or an alias of the ssh configuration.
	Address string
	// Root is the directory on the host for all that is ours; one that begins
	// with "~/" or is relative lies in the user's home there. Empty: ~/.runner.
	Root string
	// Jumps are machines on the way, the nearest first, each like Address. Nil:
	// what the ssh configuration says; empty but not nil: none.
	Jumps []string

	// Ask are small text files that each login reads: see Greeting. Those with a
	// relative path lie under Root.
	Ask []string
	// Ahead is a command that each login starts at once, when its program is
	// there: whoever runs it first finds it running. The program is named by its
	// path under Root, and gets Root as its last argument.
	Ahead []string

	// IdentityFiles are private keys: at Address tried before those of the ssh
	// configuration, on the way to it after them.
	IdentityFiles []string
	// IdentitiesOnly leaves out keys that only the agent has, and default files.
	// It is about Address alone.
	IdentitiesOnly bool
	// AgentSocket is where an ssh-agent listens when the ssh configuration names
	// none. Empty: $SSH_AUTH_SOCK; "none": no agent, whatever that says.
	AgentSocket string
	// Password is asked when a machine takes one: Address, or one on the way.
	// ErrNoSecret: there is none for it. Nil: there is none at all.
	Password func(context.Context, Login) (string, error)
	// Passphrase is asked when a server takes the key of an encrypted file.
	// ErrNoSecret: there is none, so that the key is not used.
	Passphrase func(ctx context.Context, file string) (string, error)

	// HostKey is the fingerprint ("SHA256:...") the machine must have; then no
	// file is looked at for it. It says nothing about Jumps.
	HostKey string
	// SeenKey is the fingerprint that the machine had before, for where no file
	// knows a key of it: another is a changed one then. It says nothing about Jumps.
	SeenKey string
	// KnownHosts are files of known keys. Nil: those of the ssh configuration.
	KnownHosts []string
	// UnknownHostKey decides on a key that no file knows: nil accepts it for as
	// long as the Host lives (whoever asks also keeps it, see Host.HostKey).
	// Without it an unknown key is refused. A changed key is always refused.
	UnknownHostKey func(context.Context, *HostKeyError) error

	// ConfigFiles are ssh configurations, the first word wins. Nil:
	// ~/.ssh/config and /etc/ssh/ssh_config; empty but not nil: none.
	ConfigFiles []string

	// DialTimeout bounds each step to a connection that waits for the other
	// side (10 s), not what the functions above take.
	DialTimeout time.Duration
	// GreetTimeout bounds how long the user's shell may say nothing after a login
	// (1 min): what runs at each login there may hang.
	GreetTimeout time.Duration
	// BusyPatience is how long Open tries again with a server that has too many
	// logins under way to take ours (20 s).
	BusyPatience time.Duration
	// KeepAlive is how often the other side is asked whether it lives (10 s).
	// When nothing comes for three times that after a question, the connection is
	// dead: a line that was cut is known after at most four times that.
	KeepAlive time.Duration
	// Patience is how long one operation waits for a connection (1 min) before
	// it says that the host cannot be reached. Open does not wait.
	Patience time.Duration
	// Log hears of connections made and lost. Nil: nobody does.
	Log *slog.Logger
}

// Login is what a password is for.
type Login struct {
	User string
	// Name is what the machine was called, Address its HOST:PORT.
	Name, Address string
	// Jump: it is only on the way.
	Jump bool
	// Prompt is the server's own question, where it has one.
	Prompt string
}

const (
	defaultRoot         = "~/.runner"
	defaultDialTimeout  = 10 * time.Second
	defaultGreetTimeout = time.Minute
	defaultBusyPatience = 20 * time.Second
	defaultKeepAlive    = 10 * time.Second
	defaultPatience     = time.Minute
	// lostAfter is for how many times KeepAlive nothing need come.
	lostAfter = 3
)

// withDefaults fills in what is not said.
func (c Config) withDefaults() Config {
	if c.Root == "" {
		c.Root = defaultRoot
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.GreetTimeout <= 0 {
		c.GreetTimeout = defaultGreetTimeout
	}
	if c.BusyPatience <= 0 {
		c.BusyPatience = defaultBusyPatience
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = defaultKeepAlive
	}
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.ConfigFiles == nil {
		c.ConfigFiles = []string{inHome(".ssh/config"), "/etc/ssh/ssh_config"}
	}
	return c
}

// inHome is a path in the home of the user we are; empty when there is none.
func inHome(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home + "/" + path
}
