package slurm_test

import (
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
	"github.com/runnerml/runner/backends/cluster"
	"github.com/runnerml/runner/backends/cluster/slurm"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// siteVariable tells a copy of the test binary where the cluster is.
const siteVariable = "RUNNER_SLURMTEST_SITE"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
		case "ranks":
			os.Exit(ranks.Main(os.Args[2:]))
		case "onhost":
			os.Exit(onhost.Main(os.Args[2:], os.Stdin, os.Stdout))
		}
	}
	backendtest.RunChild(func() (backends.Backend, error) {
		var s site
		if err := json.Unmarshal([]byte(os.Getenv(siteVariable)), &s); err != nil {
			return nil, err
		}
		return s.open(context.Background())
	})
	goleak.VerifyTestMain(m)
}

// site is how a test reaches its cluster.
type site struct {
	// Bin has Slurm's commands, Root is the shared directory, Home the agent's.
	Bin, Root, Home string
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

func (s site) open(ctx context.Context) (*backend, error) {
	store, err := snapshot.Open(filepath.Join(s.Home, "objects"))
	if err != nil {
		return nil, err
	}
	var h interface {
		host.Host
		Close() error
	} = host.NewHere(s.Root)
	if s.Address != "" {
		h, err = sshhost.Open(ctx, sshhost.Config{
			Address: s.Address, IdentityFiles: []string{s.Key}, IdentitiesOnly: true, AgentSocket: "none", HostKey: s.HostKey,
			KnownHosts: []string{}, ConfigFiles: []string{}, Root: s.Root, Patience: 3 * time.Second,
		})
		if err != nil {
			return nil, err
		}
	}
	installation := "test-" + filepath.Base(s.Home)
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
	l.site = site{Bin: l.slurm.Bin, Root: filepath.Join(dir, "shared directory ü"), Home: filepath.Join(dir, "home ü")}
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
		Bin: l.slurm.Bin, Root: filepath.Join(account.Home, "shared directory ü"), Home: filepath.Join(sharedDirectory(t), "home ü"),
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
	b, err := l.site.open(context.WithoutCancel(t.Context()))
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

func (l *lab) snapshot(t testing.TB, dir string) string {
	t.Helper()
	store, err := snapshot.Open(filepath.Join(l.Home, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	taken, err := store.Take(t.Context(), dir, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return string(taken.ID)
}

func (l *lab) home(ref backends.Ref) *artifact.Directory {
	return artifact.OpenDirectory(filepath.Join(l.Home, "runs", ref.Run, "attempts", strconv.Itoa(ref.Number)))
}

func existing() *environment.Resolved {
	return &environment.Resolved{Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("e", 64), Interpreter: "python3"}
}

// target is the cluster for the suite.
func (l *lab) target(t *testing.T) backendtest.Target {
	t.Helper()
	site, err := json.Marshal(l.site)
	if err != nil {
		t.Fatal(err)
	}
	target := backendtest.Target{
		New:         func(t testing.TB) backends.Backend { return l.open(t) },
		Environment: existing(),
		Snapshot:    l.snapshot,
		Home:        func(_ testing.TB, ref backends.Ref) *artifact.Directory { return l.home(ref) },
		Traces:      l.traces,
		Disk:        []string{filepath.Dir(l.Home), l.Root, l.slurm.Dir},
		Inspect: func(t testing.TB, ref backends.Ref) string {
			id := strings.TrimPrefix(string(ref.Handle), "job:")
			if id == "" {
				return ""
			}
			return l.slurm.Run("scontrol", "show", "job", id) + l.slurm.Run("scontrol", "write", "batch_script", id, "-")
		},
		Child:         []string{siteVariable + "=" + string(site)},
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
	var found []string
	entries, err := os.ReadDir(filepath.Join(l.Root, "runs", url.PathEscape(ref.Run), "attempts", strconv.Itoa(ref.Number)))
	if err == nil {
		found = append(found, "its directory")
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	mark := fmt.Sprintf("RUNNER_MARK=%s.%d", ref.Run, ref.Number)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err == nil && strings.Contains("\x00"+string(data), "\x00"+mark+"\x00") {
			found = append(found, "process "+name)
		}
	}
	return found
}

// without are the cases that a cluster cannot have; doc.go of package cluster
// says why.
func without() map[string]string {
	return map[string]string{
		"prepare/interpreter not there": "which programs a compute node has is not known before the job runs there",
	}
}

func TestHere(t *testing.T) {
	backendtest.Run(t, newLab(t, testenv.SlurmOptions{}).target(t), without())
}

// TestSSH is the suite with a login node over SSH: by default the subjects in
// which it differs, whole with make conformance.
func TestSSH(t *testing.T) {
	target := newRemoteLab(t).target(t)
	if os.Getenv("RUNNER_CONFORMANCE") == "full" {
		backendtest.Run(t, target, without())
		return
	}
	for _, subject := range []string{"logs", "outputs"} {
		backendtest.RunSubject(t, target, subject)
	}
}
