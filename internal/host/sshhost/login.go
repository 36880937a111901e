package sshhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// login is one try to log in to one machine.
type login struct {
	hop  hop
	cfg  Config
	keys *keyring
	// pause stops the clock while somebody is asked; what it returns starts it.
	pause func() (resume func())

	mu       sync.Mutex
	tried    []string
	password bool // was shown
	hostKey  *HostKeyError
	fatal    error
}

func (l *login) note(tried string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.tried, tried) {
		l.tried = append(l.tried, tried)
	}
}

// fail remembers what went wrong on our side; the library hides it.
func (l *login) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = err
	}
}

// methods are our ways to prove who we are.
func (l *login) methods(ctx context.Context, ids []identity) []ssh.AuthMethod {
	var methods []ssh.AuthMethod
	if len(ids) > 0 {
		signers := make([]ssh.Signer, 0, len(ids))
		for _, id := range ids {
			signers = append(signers, l.noted(id))
		}
		methods = append(methods, ssh.PublicKeys(signers...))
	}
	if l.cfg.Password != nil && !l.hop.jump {
		methods = append(methods,
			ssh.PasswordCallback(func() (string, error) { return l.ask(ctx, "") }),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, echo []bool) ([]string, error) {
				return l.answer(ctx, questions, echo)
			}))
	}
	return methods
}

// errAskedBefore ends a dialogue with a server that already refused the answer.
var errAskedBefore = errors.New("the server asks for the password again")

// answer answers the questions of keyboard-interactive, of which the password
// is the usual one.
func (l *login) answer(ctx context.Context, questions []string, echo []bool) ([]string, error) {
	answers := make([]string, 0, len(questions))
	for i, q := range questions {
		l.mu.Lock()
		again := l.password && !echo[i] && strings.Contains(strings.ToLower(q), "password")
		l.mu.Unlock()
		if again {
			return nil, errAskedBefore
		}
		a, err := l.ask(ctx, q)
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
	}
	return answers, nil
}

func (l *login) ask(ctx context.Context, prompt string) (string, error) {
	defer l.pause()()
	word, err := l.cfg.Password(ctx, Login{User: l.hop.user, Address: l.hop.address(), Prompt: prompt})
	if err != nil {
		err = fmt.Errorf("ask for the password: %w", err)
		l.fail(err)
		return "", err
	}
	l.note("password")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.password = true
	return word, nil
}

// noted notes a key when it is shown.
func (l *login) noted(id identity) ssh.Signer {
	n := &notedKey{Signer: id.signer, login: l, name: fmt.Sprintf("%s (%s)", id.name, ssh.FingerprintSHA256(id.signer.PublicKey()))}
	if as, ok := id.signer.(ssh.AlgorithmSigner); ok {
		return &notedAlgorithmKey{notedKey: n, signer: as}
	}
	return n
}

type notedKey struct {
	ssh.Signer
	login *login
	name  string
}

// PublicKey is asked for when the key's turn comes.
func (n *notedKey) PublicKey() ssh.PublicKey {
	n.login.note(n.name)
	return n.Signer.PublicKey()
}

type notedAlgorithmKey struct {
	*notedKey
	signer ssh.AlgorithmSigner
}

func (n *notedAlgorithmKey) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	return n.signer.SignWithAlgorithm(random, data, algorithm)
}

// explain says what a failed handshake means.
func (l *login) explain(ctx context.Context, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.hostKey != nil:
		return l.hostKey
	case ctx.Err() != nil:
		return fmt.Errorf("log in to %s: %w", l.hop.address(), context.Cause(ctx))
	case l.fatal != nil:
		return &AuthError{User: l.hop.user, Address: l.hop.address(), Tried: l.tried, Err: l.fatal}
	case strings.Contains(err.Error(), "unable to authenticate"), errors.Is(err, errAskedBefore),
		// A "no" to keyboard-interactive without a question, in the library's words.
		strings.Contains(err.Error(), "unexpected message type 51"):
		return &AuthError{User: l.hop.user, Address: l.hop.address(), Tried: l.tried}
	case strings.Contains(err.Error(), "Too many authentication failures"):
		return &AuthError{
			User: l.hop.user, Address: l.hop.address(), Tried: l.tried,
			Err: errors.New("too many keys were shown: name the one with an identity file, and identities only"),
		}
	}
	return &UnreachableError{Address: l.hop.address(), Err: err}
}
