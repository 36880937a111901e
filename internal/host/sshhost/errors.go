package sshhost

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrUnreachable is what UnreachableError and LostError are: the machine
// cannot be asked now, which says nothing about what runs there. Trying later
// can help.
var ErrUnreachable = errors.New("the host cannot be reached")

// ErrNoSecret is what Config.Password and Config.Passphrase say when there is
// none: other ways in are tried.
var ErrNoSecret = errors.New("there is none")

// errClosed is use after Close.
var errClosed = errors.New("the connection was closed by us")

// UnreachableError is a machine that no connection can be made to.
type UnreachableError struct {
	// Address is HOST:PORT of the machine that does not answer: the host or one
	// on the way.
	Address string
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s cannot be reached: %v", e.Address, e.Err)
}

func (e *UnreachableError) Unwrap() []error { return []error{ErrUnreachable, e.Err} }

// BusyError is a server that ended the connection before it said anything of
// its own: it has as many logins under way as it allows, as it may say itself.
type BusyError struct {
	Address string
	// Says: the server named its limit. Else it may be something else.
	Says bool
	// Tried is how long; zero: once.
	Tried time.Duration
	Err   error
}

func (e *BusyError) Error() string {
	tried := ""
	if e.Tried > 0 {
		tried = fmt.Sprintf(" (tried for %s)", e.Tried.Round(time.Second))
	}
	if e.Says {
		return fmt.Sprintf("%s takes no login now: as many are under way as it allows, by MaxStartups of its sshd_config%s", e.Address, tried)
	}
	return fmt.Sprintf("%s ends each connection before it says anything%s: as many logins may be under way as it allows (MaxStartups of its sshd_config), or it lets nobody in from here: %v",
		e.Address, tried, e.Err)
}

func (e *BusyError) Unwrap() []error { return []error{ErrUnreachable, e.Err} }

// MuteError is a machine that let us in, and whose shell then said nothing.
type MuteError struct {
	Address string
	After   time.Duration
}

func (e *MuteError) Error() string {
	return fmt.Sprintf("%s lets us in, and its shell says nothing for %s: what runs there at each login may hang", e.Address, e.After)
}

func (e *MuteError) Unwrap() error { return ErrUnreachable }

// LostError is a connection that broke during an operation.
type LostError struct {
	Address string
	// Begun: the command was sent, so it may have run, and may still.
	Begun bool
	Err   error
}

func (e *LostError) Error() string {
	fate := ""
	if e.Begun {
		fate = "; whether the command ran on is unknown"
	}
	return fmt.Sprintf("the connection to %s was lost%s: %v", e.Address, fate, e.Err)
}

func (e *LostError) Unwrap() []error { return []error{ErrUnreachable, e.Err} }

// AuthError is a server that takes none of our credentials.
type AuthError struct {
	User, Address string
	// Tried are the credentials we showed, in order: "key FILE (SHA256:...)",
	// "agent key ...", "password". Never a secret.
	Tried []string
	Err   error
}

func (e *AuthError) Error() string {
	hint := "tried " + strings.Join(e.Tried, ", ")
	if len(e.Tried) == 0 {
		hint = "there was no key, agent or password to try: give an identity file or a password"
	}
	text := fmt.Sprintf("%s does not let %s in (%s)", e.Address, e.User, hint)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *AuthError) Unwrap() error { return e.Err }

// KeyFileError is a private key that cannot be used.
type KeyFileError struct {
	Path string
	Err  error
}

func (e *KeyFileError) Error() string { return fmt.Sprintf("private key %s: %v", e.Path, e.Err) }

func (e *KeyFileError) Unwrap() error { return e.Err }

// HostKeyError is a machine whose key is not the one we know.
type HostKeyError struct {
	// Host is the name that the key was looked for under: HOST or [HOST]:PORT.
	Host string
	// Type and Fingerprint of the key it showed: "ssh-ed25519", "SHA256:...".
	Type, Fingerprint string
	// Line is the key in the form of a known_hosts file.
	Line string
	// Changed: another key is known. Revoked: it is marked so. Else: none is known.
	Changed, Revoked bool
	// Known are the fingerprints that would have been right, and Where says in
	// which file and line ("FILE:LINE"), or that it was pinned.
	Known, Where []string
	// Seen: no file knows a key of it, but it showed another before.
	Seen bool
	// Jump: it is only on the way.
	Jump bool
	// Err is why the key was not accepted, when somebody was asked.
	Err error
}

func (e *HostKeyError) Error() string {
	shown := e.Type + " " + e.Fingerprint
	var text string
	switch {
	case e.Revoked:
		text = fmt.Sprintf("%s shows a key that is revoked in %s: %s", e.Host, strings.Join(e.Where, ", "), shown)
	case e.Changed:
		text = fmt.Sprintf("the key of %s HAS CHANGED: it shows %s, known is %s (%s); somebody may be listening, or the machine was made anew: ask its owner, then remove the old key",
			e.Host, shown, strings.Join(e.Known, ", "), strings.Join(e.Where, ", "))
	default:
		text = fmt.Sprintf("the key of %s is not known: %s; compare it with what the machine's owner says, then give it as its host key", e.Host, shown)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *HostKeyError) Unwrap() error { return e.Err }

// RefusedError is a server that let us in and then gives no session.
type RefusedError struct {
	Address string
	Err     error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s lets us in but gives no session (see MaxSessions and ForceCommand of its sshd_config, and /etc/nologin): %v", e.Address, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }
