package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
)

// DialSSH logs in to a machine over SSH; ahead is what sshhost.Config.Ahead is,
// or nil. Its errors are *UnknownHostKeyError for a key that nobody has
// confirmed, and *ReachError.
func DialSSH(ctx context.Context, t *Target, secrets Secrets, ahead []string, log *slog.Logger) (Connection, error) {
	var unknown *UnknownHostKeyError
	var wanted wanted
	cfg := t.sshConfig(secrets, &wanted)
	cfg.Ask, cfg.Ahead, cfg.Log = AskAtLogin(), ahead, log.With("target", t.Name)
	cfg.UnknownHostKey = func(_ context.Context, e *sshhost.HostKeyError) error {
		if slices.Contains(t.Config.Accepted, e.Fingerprint) {
			return nil
		}
		unknown = &UnknownHostKeyError{Host: e.Host, Type: e.Type, Fingerprint: e.Fingerprint, Jump: e.Jump}
		return unknown
	}
	h, err := sshhost.Open(ctx, cfg)
	if err == nil {
		return sshConnection{h}, nil
	}
	if unknown != nil {
		return nil, unknown
	}
	if why := unusable(err); why != "" {
		return nil, &NotWritableError{Path: cmp.Or(t.Config.RemoteDir, "~/.runner"), Why: why}
	}
	reach := reachError(t, err)
	if need := wanted.first(); need != nil && !reach.Temporary {
		need.Why, need.Advice = reach.Error(), need.advice()
		return nil, need
	}
	return nil, reach
}

// unusable says why we cannot keep anything on a machine that let us in.
func unusable(err error) string {
	switch {
	case isLogin(err):
		return ""
	case errors.Is(err, fs.ErrPermission):
		return "we may not write there"
	case errors.Is(err, syscall.ENOSPC):
		return "no space is left on its disk"
	case errors.Is(err, syscall.EROFS):
		return "its file system is read-only"
	}
	return ""
}

// isLogin tells what went wrong before we were in.
func isLogin(err error) bool {
	_, key := errors.AsType[*sshhost.KeyFileError](err)
	_, auth := errors.AsType[*sshhost.AuthError](err)
	return key || auth || errors.Is(err, sshhost.ErrUnreachable)
}

type sshConnection struct{ *sshhost.Host }

// HostKey is the fingerprint of the key that the machine showed.
func (c sshConnection) HostKey() string {
	fingerprint, _ := c.Host.HostKey()
	return fingerprint
}

// sshConfig is what the connection needs, with secrets read when it asks.
func (t *Target) sshConfig(secrets Secrets, wanted *wanted) sshhost.Config {
	c := t.Config
	cfg := sshhost.Config{Address: c.Address, Root: c.RemoteDir, HostKey: c.HostKey, SeenKey: t.HostKey}
	if c.Identity != "" {
		cfg.IdentityFiles, cfg.IdentitiesOnly = []string{c.Identity}, true
	}
	if c.KnownHosts != "" {
		cfg.KnownHosts = []string{c.KnownHosts}
	}
	// The agent of whoever attached the target, as long as it is there; our own
	// otherwise. Without either it is said that the first is gone.
	if c.AgentSocket != "" {
		if _, err := os.Stat(c.AgentSocket); err == nil || os.Getenv("SSH_AUTH_SOCK") == "" {
			cfg.AgentSocket = c.AgentSocket
		}
	}
	cfg.Password = func(ctx context.Context, l sshhost.Login) (string, error) {
		return c.find(ctx, secrets, wanted, passwordPurposes(l), "password of "+l.User+"@"+tidyAddress(l.Address))
	}
	cfg.Passphrase = func(ctx context.Context, file string) (string, error) {
		purposes := []string{PassphraseOf(file), PurposePassphrase}
		if file == c.Identity { // what is asked for it is told as such
			purposes = purposes[1:]
		}
		return c.find(ctx, secrets, wanted, purposes, "passphrase of "+file)
	}
	return cfg
}

// changedKeyAdvice says what to do about a key that is not the one we know.
func (t *Target) changedKeyAdvice(key *sshhost.HostKeyError) string {
	attached := !t.AttachedAt.IsZero()
	switch {
	case t.Config.HostKey != "" && attached:
		return "when the machine was made anew, attach it anew: runner compute detach --force --forget " + t.Name + ", then attach it with --host-key " + key.Fingerprint
	case t.Config.HostKey != "":
		return "when the machine's owner tells this fingerprint, give it: --host-key " + key.Fingerprint
	case attached && key.Seen: // ssh asks, and keeps it where we look
		return "when the machine was made anew, compare this fingerprint with the one that its owner tells, and confirm it by logging in once with " + t.sshCommand()
	case attached:
		return "when the machine was made anew, put its new key in the place of the old one: ssh-keygen -R '" + key.Host + "', then log in once with " + sshCommand(t.Config.Address)
	}
	return "when the machine was made anew, take the old key out of the file named above, or attach it again with --host-key " + key.Fingerprint
}

// sshCommand is how a person logs in to the target so that ssh keeps its key
// where we look for it.
func (t *Target) sshCommand() string {
	command := sshCommand(t.Config.Address)
	if t.Config.KnownHosts == "" {
		return command
	}
	return strings.Replace(command, "ssh ", "ssh -o UserKnownHostsFile="+host.Quote(t.Config.KnownHosts)+" ", 1)
}

// sshCommand is how a person logs in to an address: ssh knows no HOST:PORT.
func sshCommand(address string) string {
	at := strings.LastIndex(address, "@") + 1
	host, port, err := net.SplitHostPort(address[at:])
	if err != nil {
		return "ssh " + address
	}
	return "ssh -p " + port + " " + address[:at] + host
}

// reachError says what a failed login means and what can be done.
func reachError(t *Target, err error) *ReachError {
	r := &ReachError{Name: t.Name, Err: err}
	var (
		auth    *sshhost.AuthError
		key     *sshhost.HostKeyError
		busy    *sshhost.BusyError
		mute    *sshhost.MuteError
		file    *sshhost.KeyFileError
		secret  *ReferenceError
		config  *sshhost.ConfigError
		timeout = errors.Is(err, context.DeadlineExceeded)
	)
	switch {
	case errors.As(err, &secret):
		r.Err, r.Advice = fmt.Errorf("log in: %w", secret), secret.Hint
	case errors.As(err, &config):
		r.Advice = config.Advice
	case errors.As(err, &file):
		r.Err = file
		switch {
		case strings.Contains(err.Error(), "passphrase"):
			r.Advice = "give its passphrase with --passphrase env:NAME, file:PATH or secret:NAME"
		case errors.Is(err, sshhost.ErrKeyMode):
			r.Advice = "chmod 600 " + file.Path
		case errors.Is(err, sshhost.ErrPublicKey):
			r.Advice = "give the agent the private one (ssh-add), or name its file with --identity"
		case errors.Is(err, os.ErrNotExist):
			r.Advice = "name the private key's file with --identity"
		}
	case errors.As(err, &key):
		if key.Changed {
			r.Advice = t.changedKeyAdvice(key)
		}
	case errors.As(err, &auth):
		r.Advice = "try " + sshCommand(t.Config.Address) + " yourself; give a key with --identity, or a password with --password"
	case errors.As(err, &busy):
		r.Temporary = true
		r.Advice = "try again when the other logins there are over, or have MaxStartups raised in its sshd_config"
		if !busy.Says {
			r.Advice += "; if it never answers, check the address and its firewall"
		}
	case errors.As(err, &mute):
		r.Temporary = true
		r.Advice = "see what hangs there with " + sshCommand(t.Config.Address) + " true: it may be in .bashrc or .profile, or a home on a network disk"
	case errors.Is(err, sshhost.ErrUnreachable), timeout:
		r.Temporary = true
		r.Advice = "check the address, that the machine is up, and its firewall"
	}
	return r
}
