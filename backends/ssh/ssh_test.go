package ssh_test

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/ssh"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/testenv"
)

func TestMain(m *testing.M) { backendtest.Main(m, login.open, nil) }

// login is how a test reaches its machine, and the home of the agent here.
type login struct {
	Address, Key, HostKey string
	// Config is an ssh configuration; the others are secrets, and an agent.
	Config, KnownHosts, Password, Passphrase, AgentSocket string
	JumpPassword                                          string
	// Root there and Home here.
	Root, Home backendtest.Root
	// Socket of a Docker engine there, or empty.
	Socket string
	MaxLog int64
	// Programs for machines of other platforms; nil: there are none.
	Programs *program.Finder
}

// backend is the door and the connection behind it.
type backend struct {
	*ssh.Backend
	host *sshhost.Host
}

func (b *backend) Close() error { return errors.Join(b.Backend.Close(), b.host.Close()) }

func (l login) open(ctx context.Context) (backends.Backend, error) { return l.opened(ctx) }

func (l login) opened(ctx context.Context) (*backend, error) {
	store, err := l.Home.Objects()
	if err != nil {
		return nil, err
	}
	h, err := sshhost.Open(ctx, l.config())
	if err != nil {
		return nil, err
	}
	b, err := ssh.New(ctx, ssh.Options{
		Host: h, Installation: l.Home.Installation(), Snapshots: store, Programs: l.Programs, Engine: container.Options{Socket: l.Socket}, MaxLog: l.MaxLog,
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &backend{Backend: b, host: h}, nil
}

func (l login) config() sshhost.Config {
	c := sshhost.Config{
		Address: l.Address, IdentitiesOnly: l.AgentSocket == "", AgentSocket: cmp.Or(l.AgentSocket, "none"), HostKey: l.HostKey,
		KnownHosts: []string{l.KnownHosts}, ConfigFiles: []string{l.Config}, Root: string(l.Root), Patience: 3 * time.Second,
		Password: func(_ context.Context, who sshhost.Login) (string, error) {
			password := l.Password
			if who.Jump {
				password = l.JumpPassword
			}
			if password == "" {
				return "", sshhost.ErrNoSecret
			}
			return password, nil
		},
		Passphrase: func(context.Context, string) (string, error) { return l.Passphrase, nil },
	}
	if l.Key != "" {
		c.IdentityFiles = []string{l.Key}
	}
	return c
}

// machine is a user's account on a real SSH server, at the end of a line that
// can be cut.
type machine struct {
	login
	server  *testenv.SSHServer
	line    *testenv.Line
	account testenv.SSHAccount
}

func newMachine(t *testing.T, o testenv.SSHOptions, u testenv.SSHUser) *machine {
	t.Helper()
	return newMachineOf(t, testenv.SSHKind{Server: o, User: u})
}

func newMachineOf(t *testing.T, kind testenv.SSHKind) *machine {
	t.Helper()
	box := kind.Open(t)
	m := &machine{server: box.Server, account: box.Account}
	m.line = testenv.Cut(t, m.server.Address)
	m.login = login{
		Address: m.account.Name + "@" + m.line.Address, Key: box.Identity, HostKey: m.server.Fingerprint,
		Config: box.Config, KnownHosts: box.KnownHosts, AgentSocket: box.AgentSocket,
		Password: box.Password, Passphrase: box.Passphrase, JumpPassword: box.JumpPassword,
		Root: backendtest.Root(filepath.Join(m.account.Home, "our directory ü")), Home: backendtest.NewHome(t),
	}
	return m
}

func (m *machine) open(t testing.TB) *backend {
	t.Helper()
	return backendtest.Open(t, m.opened)
}

// target is the machine for the suite.
func (m *machine) target(t *testing.T) backendtest.Target {
	t.Helper()
	return backendtest.Target{
		New:         func(t testing.TB) backends.Backend { return m.open(t) },
		Environment: backendtest.Existing("python3"),
		Snapshot:    m.Home.Snapshot,
		Home:        m.Home.Home,
		Traces:      m.traces,
		Disk:        []string{string(m.Home), m.account.Home},
		Vanish:      m.Root.Vanish,
		CutOff: func(testing.TB) func() {
			m.line.Refuse()
			return m.line.Heal
		},
		Child: m.login,
		Many:  12,
	}
}

func (m *machine) traces(t testing.TB, ref backends.Ref) []string {
	t.Helper()
	return m.Root.Traces(t, ref)
}

// The whole suite, as a user without rights who logs in with a key.
func TestProcess(t *testing.T) {
	t.Parallel()
	m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
	backendtest.Run(t, m.target(t), nil)
}
