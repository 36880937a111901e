package sshhost

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// nameOfKey is what a machine's key is looked for under.
func (h hop) nameOfKey() string {
	if h.keyName != "" { // ssh looks for the alias alone, which may be of the form that a key of another port has
		if _, _, err := net.SplitHostPort(h.keyName); err == nil && h.keyName[0] == '[' {
			return h.keyName
		}
		return net.JoinHostPort(h.keyName, "22")
	}
	return h.address()
}

// known are the files with known keys that exist.
func (h hop) known() (ssh.HostKeyCallback, error) {
	var files []string
	for _, f := range h.knownHosts {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	check, err := knownhosts.New(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return check, nil
}

// algorithms are the kinds of key to ask for: those we know one of. Without
// this a server would show its favourite, which we may not know. When we know
// none, the order is that of ssh, so that people compare the same fingerprint.
func (l *login) algorithms(check ssh.HostKeyCallback) []string {
	var kinds []string
	if key := l.keys.acceptedKey(l.hop.address()); key != nil {
		kinds = append(kinds, key.Type())
	}
	if l.hop.pin == "" {
		var ask *knownhosts.KeyError
		if err := check(l.hop.nameOfKey(), &net.TCPAddr{}, noKey{}); errors.As(err, &ask) {
			for _, k := range ask.Want {
				kinds = append(kinds, k.Key.Type())
			}
		}
	}
	var algorithms []string
	for _, k := range kinds {
		for _, a := range algorithmsOf(k) {
			if !slices.Contains(algorithms, a) {
				algorithms = append(algorithms, a)
			}
		}
	}
	if len(algorithms) > 0 {
		return algorithms
	}
	all := ssh.SupportedAlgorithms().HostKeys
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// rank is ssh's order of kinds of key.
func rank(algorithm string) int {
	for i, kind := range []string{"cert", "ed25519", "ecdsa"} {
		if strings.Contains(algorithm, kind) {
			return i
		}
	}
	return math.MaxInt
}

// algorithmsOf are the signatures that a kind of key makes, good ones only.
func algorithmsOf(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// pinFamilies are asked for one after the other when a pinned fingerprint, or
// one seen before, is not that of the server's favourite key.
func pinFamilies() [][]string {
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
}

// noKey is a key that no file knows.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// checkHostKey is the library's question whether a machine's key is right.
func (l *login) checkHostKey(ctx context.Context, check ssh.HostKeyCallback, remote net.Addr, key ssh.PublicKey) error {
	problem := l.problemOf(ctx, check, remote, key)
	if problem == nil {
		l.keys.accept(l.hop.address(), key)
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hostKey = problem
	return problem
}

func (l *login) problemOf(ctx context.Context, check ssh.HostKeyCallback, remote net.Addr, key ssh.PublicKey) *HostKeyError {
	name := knownhosts.Normalize(l.hop.nameOfKey())
	problem := &HostKeyError{
		Host: name, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), Line: knownhosts.Line([]string{name}, key),
		Jump: l.hop.jump,
	}
	if l.hop.pin != "" {
		if samePin(l.hop.pin, key) {
			return nil
		}
		problem.Changed, problem.Known, problem.Where = true, []string{l.hop.pin}, []string{"given as host key"}
		return problem
	}
	err := check(l.hop.nameOfKey(), remote, key)
	var other *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		problem.Revoked, problem.Where = true, []string{place(revoked.Revoked)}
		return problem
	case errors.As(err, &other) && len(other.Want) > 0:
		problem.Changed = true
		for _, k := range other.Want {
			problem.Known = append(problem.Known, ssh.FingerprintSHA256(k.Key))
			problem.Where = append(problem.Where, place(k))
		}
		return problem
	case !errors.As(err, &other):
		problem.Err = err
		return problem
	}
	// No file knows any key of it: one that somebody accepted stays the right one.
	before := l.keys.acceptedKey(l.hop.address())
	switch {
	case before != nil && bytes.Equal(before.Marshal(), key.Marshal()):
		return nil
	case before != nil:
		problem.Changed, problem.Seen, problem.Known, problem.Where = true, true, []string{ssh.FingerprintSHA256(before)}, []string{"seen on the connection before"}
		return problem
	case l.hop.seen != "" && samePin(l.hop.seen, key):
		return nil
	case l.hop.seen != "":
		problem.Changed, problem.Seen, problem.Known, problem.Where = true, true, []string{l.hop.seen}, []string{"seen before"}
		return problem
	case l.cfg.UnknownHostKey == nil:
		return problem
	}
	defer l.pause()()
	if err := l.cfg.UnknownHostKey(ctx, problem); err != nil {
		problem.Err = err
		return problem
	}
	return nil
}

func place(k knownhosts.KnownKey) string { return fmt.Sprintf("%s:%d", k.Filename, k.Line) }

// samePin compares a fingerprint as ssh-keygen writes it, with or without its
// prefix and padding.
func samePin(pin string, key ssh.PublicKey) bool {
	want := strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(pin), "SHA256:"), "=")
	return "SHA256:"+want == ssh.FingerprintSHA256(key)
}

// knownLine is a key as a known_hosts file has it.
func knownLine(h hop, key ssh.PublicKey) string {
	return knownhosts.Line([]string{knownhosts.Normalize(h.nameOfKey())}, key)
}
