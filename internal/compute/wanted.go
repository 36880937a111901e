package compute

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/runnerml/runner/internal/host/sshhost"
)

// Purposes of secrets: what they are stored and sealed under. Those of a
// machine on the way and of a key file have their own, see PasswordOf and
// PassphraseOf.
const (
	// PurposePassword is that of the target's own password.
	PurposePassword = "password"
	// PurposePassphrase is that of a key for which there is none of its own.
	PurposePassphrase = "passphrase"
	// PurposeJumpPassword is that of machines on the way that have none of their own.
	PurposeJumpPassword = "jump password"
)

// PasswordOf is the purpose of the password of a machine on the way, which may
// be said as USER@HOST:PORT, HOST:PORT, HOST, or by its name in the ssh
// configuration.
func PasswordOf(machine string) string { return "password of " + machine }

// PassphraseOf is the purpose of the passphrase of a key file.
func PassphraseOf(file string) string { return "passphrase of " + file }

// SecretNeededError is a login for which a secret is missing that a person may
// know.
type SecretNeededError struct {
	// Purpose that the secret has in the next try; see Config.SetSecret.
	Purpose string `json:"purpose"`
	// What it is, for a question: "password of me@host:22".
	What string `json:"what"`
	// Why it is needed, as an error's text, and Advice how else to give it.
	Why    string `json:"why"`
	Advice string `json:"advice"`
}

func (e *SecretNeededError) Error() string { return e.Why }

// Hint says what a person can do.
func (e *SecretNeededError) Hint() string { return e.Advice }

// advice says how to give it without being asked.
func (e *SecretNeededError) advice() string {
	const how = " env:NAME, file:PATH or secret:NAME; on a terminal you are asked"
	switch {
	case e.Purpose == PurposePassword:
		return "give a key with --identity, or the password with --password" + how
	case strings.HasPrefix(e.Purpose, "password of "):
		return "give the jump host's password with --jump-password" + how
	}
	return "give its passphrase with --passphrase" + how
}

// SetSecret says where the secret of a purpose is.
func (c *Config) SetSecret(purpose string, r Reference) {
	switch purpose {
	case PurposePassword:
		c.Password = r
	case PurposePassphrase:
		c.Passphrase = r
	default:
		if c.Secrets == nil {
			c.Secrets = map[string]Reference{}
		}
		c.Secrets[purpose] = r
	}
}

func (c *Config) reference(purpose string) Reference {
	switch purpose {
	case PurposePassword:
		return c.Password
	case PurposePassphrase:
		return c.Passphrase
	}
	return c.Secrets[purpose]
}

// References are all of them, by purpose.
func (c *Config) References() map[string]Reference {
	all := map[string]Reference{}
	for _, purpose := range append(slices.Collect(maps.Keys(c.Secrets)), PurposePassword, PurposePassphrase) {
		if r := c.reference(purpose); r != "" {
			all[purpose] = r
		}
	}
	return all
}

// passwordPurposes are those that fit a login, the first that is there counts.
func passwordPurposes(l sshhost.Login) []string {
	if !l.Jump {
		return []string{PurposePassword}
	}
	address := tidyAddress(l.Address)
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		host = l.Address
	}
	purposes := []string{
		PasswordOf(l.User + "@" + address), PasswordOf(address), PasswordOf(l.User + "@" + l.Name), PasswordOf(l.Name),
		PasswordOf(l.User + "@" + host), PasswordOf(host), PurposeJumpPassword,
	}
	return purposes
}

// tidyAddress leaves out the port that everybody means.
func tidyAddress(address string) string { return strings.TrimSuffix(address, ":22") }

// find gives the secret of the first purpose that has a reference. When none
// has, the first is wanted.
func (c *Config) find(ctx context.Context, secrets Secrets, w *wanted, purposes []string, what string) (string, error) {
	for _, p := range purposes {
		switch r := c.reference(p); r {
		case "":
		case None:
			return "", sshhost.ErrNoSecret
		default:
			return secrets.read(ctx, p, r)
		}
	}
	w.note(&SecretNeededError{Purpose: purposes[0], What: what})
	return "", sshhost.ErrNoSecret
}

// wanted is the first secret that a login asked for in vain.
type wanted struct {
	mu  sync.Mutex
	one *SecretNeededError
}

func (w *wanted) note(e *SecretNeededError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.one == nil {
		w.one = e
	}
}

func (w *wanted) first() *SecretNeededError {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.one
}
