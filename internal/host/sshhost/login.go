package sshhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
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
	without  bool // a key was taken that nobody can open
	wanted   bool // a password was, and there was none
	hostKey  *HostKeyError
	fatal    error
	lost     error // the line broke meanwhile
}

func (l *login) note(tried string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.tried, tried) {
		l.tried = append(l.tried, tried)
	}
}

// errWithout is a login to be tried again without a key that cannot be opened.
var errWithout = errors.New("a key was left out")

// leave ends a login in which a key turned out to be of no use.
func (l *login) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.without = true
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
	if l.cfg.Password != nil {
		methods = append(methods,
			ssh.PasswordCallback(func() (string, error) { return l.ask(ctx, "") }),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, echo []bool) ([]string, error) {
				return l.answer(ctx, questions, echo)
			}))
	}
	return methods
}

var (
	// errAskedBefore ends a dialogue with a server that already refused the answer.
	errAskedBefore = errors.New("the server asks for the password again")
	errNoPassword  = errors.New("it takes a password, and none was given")
)

// errQuestion is a question that only a person can answer, each time anew.
func errQuestion(question string) error {
	return fmt.Errorf("the server asks %q, which no password answers: a connection that is made again by itself needs a key, or a password alone", strings.TrimSpace(question))
}

// oneTime are words of questions for what is another each time.
var oneTime = regexp.MustCompile(`(?i)\b(code|token|otp|passcode|pin|one[- ]time|2fa|factor)\b`)

// answer answers the questions of keyboard-interactive, of which the password
// is the usual one. It is shown to no other question.
func (l *login) answer(ctx context.Context, questions []string, echo []bool) ([]string, error) {
	answers := make([]string, 0, len(questions))
	for i, q := range questions {
		if echo[i] || oneTime.MatchString(q) {
			err := errQuestion(q)
			l.fail(err)
			return nil, err
		}
		l.mu.Lock()
		again := l.password
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

// errOver is a login that has failed on our side already; the library goes on
// to the next way in all the same.
var errOver = errors.New("the login is over")

func (l *login) ask(ctx context.Context, prompt string) (string, error) {
	l.mu.Lock()
	over := l.fatal != nil || l.without
	l.mu.Unlock()
	if over {
		return "", errOver
	}
	defer l.pause()()
	word, err := l.cfg.Password(ctx, Login{User: l.hop.user, Name: l.hop.name, Address: l.hop.address(), Jump: l.hop.jump, Prompt: prompt})
	if errors.Is(err, ErrNoSecret) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wanted = true
		return "", err
	}
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

// cut tells a line that broke while we logged in from a server that refuses us:
// the library takes either for a "no" and goes on to the next way in. A server
// may end the connection itself after its last "no", but not before it.
func (l *login) cut() bool {
	return l.lost != nil && (l.wanted || !errors.Is(l.lost, io.EOF))
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
	case l.without:
		return errWithout
	case l.cut() && !strings.Contains(err.Error(), "Too many authentication failures"):
		return &UnreachableError{Address: l.hop.address(), Err: l.lost}
	case l.fatal != nil:
		return &AuthError{User: l.hop.user, Address: l.hop.address(), Tried: l.tried, Err: l.fatal}
	case l.wanted:
		return &AuthError{User: l.hop.user, Address: l.hop.address(), Tried: l.tried, Err: errNoPassword}
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
