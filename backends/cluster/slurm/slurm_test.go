package slurm_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/cluster"
	"github.com/runnerml/runner/backends/cluster/slurm"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // they mostly wait, each for a Slurm of its own
		panic(err)
	}
	backendtest.Main(m, site.open, nil)
}

// site is how a test reaches its cluster.
type site struct {
	// Bin has Slurm's commands, Root is the shared directory, Home the agent's.
	Bin        string
	Root, Home backendtest.Root
	// Address, Key and HostKey of the login node; without them it is this
	// computer.
	Address, Key, HostKey string
	MaxLog                int64
	Defaults              runconfig.Slurm
}

// backend is the door and the host behind it.
type backend struct {
	*cluster.Backend
	close func() error
}

func (b *backend) Close() error { return errors.Join(b.Backend.Close(), b.close()) }

func (s site) open(ctx context.Context) (backends.Backend, error) { return s.opened(ctx) }

func (s site) opened(ctx context.Context) (*backend, error) {
	store, err := s.Home.Objects()
	if err != nil {
		return nil, err
	}
	var h interface {
		host.Host
		Close() error
	} = host.NewHere(string(s.Root))
	if s.Address != "" {
		h, err = sshhost.Open(ctx, sshhost.Config{
			Address: s.Address, IdentityFiles: []string{s.Key}, IdentitiesOnly: true, AgentSocket: "none", HostKey: s.HostKey,
			KnownHosts: []string{}, ConfigFiles: []string{}, Root: string(s.Root), Patience: 3 * time.Second,
		})
		if err != nil {
			return nil, err
		}
	}
	installation := s.Home.Installation()
	b, err := cluster.New(ctx, cluster.Options{
		Host: h, Installation: installation, Snapshots: store, MaxLog: s.MaxLog, Poll: 100 * time.Millisecond,
		Unreachable: func(err error) bool { return errors.Is(err, sshhost.ErrUnreachable) },
		Engine: slurm.New(slurm.Options{
			Host: h, Bin: s.Bin, Installation: installation, Defaults: s.Defaults, LowPriority: runconfig.Slurm{Partition: "low"},
		}),
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &backend{Backend: b, close: h.Close}, nil
}

// lab is a real Slurm and a door to it.
type lab struct {
	site
	slurm *testenv.SlurmCluster
	line  *testenv.Line
}

// newLab starts a cluster whose login node is this computer.
func newLab(t *testing.T, o testenv.SlurmOptions) *lab {
	t.Helper()
	l := &lab{slurm: testenv.Slurm(t, o)}
	dir := sharedDirectory(t)
	l.site = site{Bin: l.slurm.Bin, Root: backendtest.Root(filepath.Join(dir, "shared directory ü")), Home: backendtest.Root(filepath.Join(dir, "home ü"))}
	return l
}

// newRemoteLab starts a cluster whose login node is reached over SSH, as a user
// without rights.
func newRemoteLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{slurm: testenv.Slurm(t, testenv.SlurmOptions{})}
	server := testenv.SSHD(t, testenv.SSHOptions{})
	account := server.User(testenv.SSHUser{})
	l.line = testenv.Cut(t, server.Address)
	l.site = site{
		Bin: l.slurm.Bin, Root: backendtest.Root(filepath.Join(account.Home, "shared directory ü")), Home: backendtest.NewHome(t),
		Address: account.Name + "@" + l.line.Address, Key: account.Key, HostKey: server.Fingerprint,
	}
	return l
}

// sharedDirectory is not the test's own, which has its name in it, and names
// of files are only so long.
func sharedDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "runner-shared-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (l *lab) open(t testing.TB) *backend {
	t.Helper()
	return backendtest.Open(t, l.opened)
}

// target is the cluster for the suite.
func (l *lab) target(t *testing.T) backendtest.Target {
	t.Helper()
	target := backendtest.Target{
		New:         func(t testing.TB) backends.Backend { return l.open(t) },
		Environment: backendtest.Existing("python3"),
		Snapshot:    l.Home.Snapshot,
		Home:        l.Home.Home,
		Traces:      l.traces,
		Disk:        []string{filepath.Dir(string(l.Home)), string(l.Root), l.slurm.Dir},
		Inspect: func(t testing.TB, ref backends.Ref) string {
			id := strings.TrimPrefix(string(ref.Handle), "job:")
			if id == "" {
				return ""
			}
			return l.slurm.Run("scontrol", "show", "job", id) + l.slurm.Run("scontrol", "write", "batch_script", id, "-")
		},
		Child:         l.site,
		Many:          12,
		NoMemoryLimit: "this Slurm has no cgroups; TestOutOfMemory has",
	}
	if l.line != nil {
		target.CutOff = func(testing.TB) func() {
			l.line.Refuse()
			return l.line.Heal
		}
	}
	return target
}

// traces of an attempt: its directory, its processes, a job that has not ended.
func (l *lab) traces(t testing.TB, ref backends.Ref) []string {
	t.Helper()
	return l.Root.Traces(t, ref)
}

// without are the cases that a cluster cannot have; doc.go of package cluster
// says why.
func without() map[string]string {
	return map[string]string{
		"prepare/interpreter not there": "which programs a compute node has is not known before the job runs there",
	}
}

func TestHere(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, newLab(t, testenv.SlurmOptions{}).target(t), without())
}

// TestSSH is the suite with a login node over SSH: by default the subjects in
// which it differs, whole with make conformance.
func TestSSH(t *testing.T) {
	t.Parallel()
	target := newRemoteLab(t).target(t)
	if os.Getenv("RUNNER_CONFORMANCE") == "full" {
		backendtest.Run(t, target, without())
		return
	}
	for _, subject := range []string{"logs", "outputs"} {
		backendtest.RunSubject(t, target, subject)
	}
}
