package sshhost

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

var (
	errNoPassphrase  = errors.New("it is encrypted and no passphrase was given")
	errBadPassphrase = errors.New("the passphrase does not open it")
)

// ErrKeyMode is a private key that others can read.
var ErrKeyMode = errors.New("its permissions are too open, others can read it")

// ErrPublicKey is the public half of a key alone.
var ErrPublicKey = errors.New("it is a public key and the agent does not have the private one")

// keyring keeps what was opened and accepted, so that a connection that is
// made again asks nobody again.
type keyring struct {
	mu     sync.Mutex
	opened map[string]ssh.Signer // by file
	// left are files that nobody has the passphrase of.
	left map[string]bool
	// accepted are keys of machines, by HOST:PORT, that a file or somebody knew.
	accepted map[string]ssh.PublicKey
}

func newKeyring() *keyring {
	return &keyring{opened: map[string]ssh.Signer{}, left: map[string]bool{}, accepted: map[string]ssh.PublicKey{}}
}

// leave keeps a file from being tried again.
func (k *keyring) leave(file string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left[file] = true
}

func (k *keyring) acceptedKey(address string) ssh.PublicKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accepted[address]
}

func (k *keyring) accept(address string, key ssh.PublicKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.accepted[address] = key
}

// identity is a key that we may show: from a file, or by an agent.
type identity struct {
	name   string
	signer ssh.Signer
}

// identities are the keys for a hop, in the order in which they are shown.
// The agent's own keys stay usable until done is called.
func (l *login) identities(ctx context.Context) (keys []identity, done func(), err error) {
	agents, done := l.agentKeys(ctx)
	used := map[string]bool{}
	add := func(id identity) {
		if blob := string(id.signer.PublicKey().Marshal()); !used[blob] {
			used[blob] = true
			keys = append(keys, id)
		}
	}
	files := l.hop.identities
	if len(files) == 0 && (l.hop.jump || !l.cfg.IdentitiesOnly) {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			files = append(files, inHome(".ssh/"+name))
		}
	}
	for _, file := range files {
		id, err := l.fromFile(ctx, file, agents)
		switch {
		case err == nil:
			add(id)
		case slices.Contains(l.cfg.IdentityFiles, file):
			done()
			return nil, nil, &KeyFileError{Path: file, Err: err}
		case !errors.Is(err, fs.ErrNotExist):
			l.note(fmt.Sprintf("key %s (not used: %v)", file, err))
		}
	}
	if !l.hop.identitiesOnly {
		for _, id := range agents {
			add(id)
		}
	}
	return keys, done, nil
}

// agentKeys are the keys of the ssh-agent; none when there is no agent.
func (l *login) agentKeys(ctx context.Context) (keys []identity, done func()) {
	nothing := func() {}
	if l.hop.agent == "" || l.hop.agent == "none" {
		return nil, nothing
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	defer cancel()
	conn, err := d.DialContext(ctx, "unix", l.hop.agent)
	if err != nil {
		l.note(fmt.Sprintf("agent (not there: %v)", err))
		return nil, nothing
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		_ = conn.Close() // only asked
		l.note(fmt.Sprintf("agent (no keys: %v)", err))
		return nil, nothing
	}
	if len(signers) == 0 {
		l.note("agent (it has no keys)")
	}
	for _, s := range signers {
		keys = append(keys, identity{name: "agent key", signer: s})
	}
	return keys, func() { _ = conn.Close() } // only asked
}

// fromFile is the key of a private key file, or of a public one whose private
// half the agent has. An encrypted one is opened when the server takes it.
func (l *login) fromFile(ctx context.Context, file string, agents []identity) (identity, error) {
	name := "key " + file
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if public, readErr := os.ReadFile(file + ".pub"); readErr == nil {
			data, err = public, nil
		}
	}
	if err != nil {
		return identity{}, err
	}
	if public := publicKey(data); public != nil {
		if s := inAgent(agents, public); s != nil {
			return identity{name: name + " by the agent", signer: s}, nil
		}
		return identity{}, ErrPublicKey
	}
	info, err := os.Stat(file)
	if err != nil {
		return identity{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return identity{}, fmt.Errorf("%w (mode %04o)", ErrKeyMode, info.Mode().Perm())
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return identity{name: name, signer: withCertificate(file, signer)}, nil
	case !errors.As(err, &locked):
		return identity{}, err
	}
	l.keys.mu.Lock()
	opened, left := l.keys.opened[file], l.keys.left[file]
	l.keys.mu.Unlock()
	public := locked.PublicKey
	if public == nil {
		if data, err := os.ReadFile(file + ".pub"); err == nil {
			public = publicKey(data) // nil: it is opened first
		}
	}
	if opened == nil && public != nil {
		opened = inAgent(agents, public)
	}
	switch {
	case opened != nil:
		return identity{name: name, signer: withCertificate(file, opened)}, nil
	case left, l.cfg.Passphrase == nil:
		return identity{}, errNoPassphrase
	}
	lazy := &lockedKey{login: l, ctx: ctx, file: file, data: data, public: public}
	if public == nil {
		s, err := lazy.open()
		if errors.Is(err, ErrNoSecret) {
			return identity{}, errNoPassphrase
		}
		if err != nil {
			return identity{}, err
		}
		return identity{name: name, signer: withCertificate(file, s)}, nil
	}
	return identity{name: name, signer: withCertificate(file, lazy)}, nil
}

// publicKey is the key of a file in the form of authorized_keys; nil for another.
func publicKey(data []byte) ssh.PublicKey {
	key, _, _, _, err := ssh.ParseAuthorizedKey(data) //nolint:dogsled // the rest is for servers
	if err != nil {
		return nil
	}
	return key
}

func inAgent(agents []identity, public ssh.PublicKey) ssh.Signer {
	for _, id := range agents {
		if bytes.Equal(id.signer.PublicKey().Marshal(), public.Marshal()) {
			return id.signer
		}
	}
	return nil
}

// withCertificate takes the certificate that lies beside a key, as ssh does.
func withCertificate(file string, signer ssh.Signer) ssh.Signer {
	data, err := os.ReadFile(file + "-cert.pub")
	if err != nil {
		return signer
	}
	cert, ok := publicKey(data).(*ssh.Certificate)
	if !ok {
		return signer
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return signer
	}
	return certified
}

// lockedKey is an encrypted key that is opened when it has to sign.
type lockedKey struct {
	login  *login
	ctx    context.Context
	file   string
	data   []byte
	public ssh.PublicKey
}

func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

func (k *lockedKey) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(random, data, k.public.Type())
}

func (k *lockedKey) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s, err := k.open()
	if errors.Is(err, ErrNoSecret) {
		k.login.leave()
		return nil, err
	}
	if err != nil {
		k.login.fail(&KeyFileError{Path: k.file, Err: err})
		return nil, err
	}
	if as, ok := s.(ssh.AlgorithmSigner); ok {
		return as.SignWithAlgorithm(random, data, algorithm)
	}
	return s.Sign(rand.Reader, data)
}

// open asks for the passphrase.
func (k *lockedKey) open() (ssh.Signer, error) {
	defer k.login.pause()()
	phrase, err := k.login.cfg.Passphrase(k.ctx, k.file)
	if errors.Is(err, ErrNoSecret) {
		k.login.keys.leave(k.file)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the passphrase: %w", err)
	}
	s, err := ssh.ParsePrivateKeyWithPassphrase(k.data, []byte(phrase))
	if err != nil {
		return nil, errBadPassphrase
	}
	k.login.keys.mu.Lock()
	defer k.login.keys.mu.Unlock()
	k.login.keys.opened[k.file] = s
	return s, nil
}
