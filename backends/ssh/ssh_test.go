package ssh_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/ssh"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

// loginVariable tells a copy of the test binary where the target is.
const loginVariable = "RUNNER_SSHTEST_LOGIN"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			testenv.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
		case "ranks":
			testenv.Exit(ranks.Main(os.Args[2:]))
		case "onhost":
			testenv.Exit(onhost.Main(os.Args[2:], os.Stdin, os.Stdout))
		}
	}
	backendtest.RunChild(func() (backends.Backend, error) {
		var l login
		if err := json.Unmarshal([]byte(os.Getenv(loginVariable)), &l); err != nil {
			return nil, err
		}
		return l.open(context.Background())
	})
	goleak.VerifyTestMain(m)
}

// login is how a test reaches its machine, and the home of the agent here.
type login struct {
	Address, Key, HostKey string
	// Config is an ssh configuration; the others are secrets, and an agent.
	Config, KnownHosts, Password, Passphrase, AgentSocket string
	JumpPassword                                          string
	// Root there and Home here.
	Root, Home string
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

func (l login) open(ctx context.Context) (*backend, error) {
	store, err := snapshot.Open(filepath.Join(l.Home, "objects"))
	if err != nil {
		return nil, err
	}
	h, err := sshhost.Open(ctx, l.config())
	if err != nil {
		return nil, err
	}
	b, err := ssh.New(ctx, ssh.Options{
		Host: h, Installation: "test-" + filepath.Base(l.Home), Snapshots: store, Programs: l.Programs, Engine: container.Options{Socket: l.Socket}, MaxLog: l.MaxLog,
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &backend{Backend: b, host: h}, nil
}

func (l login) config() sshhost.Config {
	c := sshhost.Config{
		Address: l.Address, IdentitiesOnly: l.AgentSocket == "", AgentSocket: cmp.Or(l.AgentSocket, "none"), HostKey: l.HostKey,
		KnownHosts: []string{l.KnownHosts}, ConfigFiles: []string{l.Config}, Root: l.Root, Patience: 3 * time.Second,
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
	home, err := os.MkdirTemp("", "runner home ü")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	m.login = login{
		Address: m.account.Name + "@" + m.line.Address, Key: box.Identity, HostKey: m.server.Fingerprint,
		Config: box.Config, KnownHosts: box.KnownHosts, AgentSocket: box.AgentSocket,
		Password: box.Password, Passphrase: box.Passphrase, JumpPassword: box.JumpPassword,
		Root: filepath.Join(m.account.Home, "our directory ü"), Home: home,
	}
	return m
}

func (m *machine) open(t testing.TB) *backend {
	t.Helper()
	b, err := m.login.open(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (m *machine) store(t testing.TB) *snapshot.Store {
	t.Helper()
	store, err := snapshot.Open(filepath.Join(m.Home, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (m *machine) snapshot(t testing.TB, dir string) string {
	t.Helper()
	taken, err := m.store(t).Take(t.Context(), dir, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return string(taken.ID)
}

// there is the attempt's directory on the machine.
func (m *machine) there(ref backends.Ref) string {
	return filepath.Join(m.Root, "runs", url.PathEscape(ref.Run), "attempts", strconv.Itoa(ref.Number))
}

func (m *machine) home(ref backends.Ref) *artifact.Directory {
	return artifact.OpenDirectory(filepath.Join(m.Home, "runs", ref.Run, "attempts", strconv.Itoa(ref.Number)))
}

func existing() *environment.Resolved {
	return &environment.Resolved{Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("e", 64), Interpreter: "python3"}
}

// target is the machine for the suite.
func (m *machine) target(t *testing.T) backendtest.Target {
	t.Helper()
	login, err := json.Marshal(m.login)
	if err != nil {
		t.Fatal(err)
	}
	return backendtest.Target{
		New:         func(t testing.TB) backends.Backend { return m.open(t) },
		Environment: existing(),
		Snapshot:    m.snapshot,
		Home:        func(_ testing.TB, ref backends.Ref) *artifact.Directory { return m.home(ref) },
		Traces:      m.traces,
		Disk:        []string{m.Home, m.account.Home},
		Vanish: func(t testing.TB, ref backends.Ref) {
			// Its supervisor first, or it would write down how it ended.
			for _, pid := range append([]int{m.supervisor(t, ref)}, marked(ref)...) {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill()
				}
			}
		},
		CutOff: func(testing.TB) func() {
			m.line.Refuse()
			return m.line.Heal
		},
		Child: []string{loginVariable + "=" + string(login)},
		Many:  12,
	}
}

// supervisor of an attempt that runs.
func (m *machine) supervisor(t testing.TB, ref backends.Ref) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.there(ref), "sup", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// traces of an attempt on the machine: its directory, and processes with its
// mark.
func (m *machine) traces(t testing.TB, ref backends.Ref) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(m.there(ref))
	if err == nil {
		found = append(found, "its directory")
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	for _, pid := range marked(ref) {
		found = append(found, fmt.Sprintf("process %d", pid))
	}
	return found
}

// marked are the processes of an attempt, its supervisor left out.
func marked(ref backends.Ref) []int {
	variable := fmt.Sprintf("RUNNER_MARK=%s.%d", ref.Run, ref.Number)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it ended
		}
		for v := range strings.SplitSeq(string(data), "\x00") {
			if v != variable {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// The whole suite, as a user without rights who logs in with a key.
func TestProcess(t *testing.T) {
	t.Parallel()
	m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
	backendtest.Run(t, m.target(t), nil)
}
