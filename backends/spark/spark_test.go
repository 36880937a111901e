package spark_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/spark"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/sparksubmit"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// placeVariable tells a copy of the test binary where the target is.
const placeVariable = "RUNNER_SPARKTEST_PLACE"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
		case sparksubmit.Word:
			os.Exit(sparksubmit.Main(os.Args[2:]))
		}
	}
	backendtest.RunChild(func() (backends.Backend, error) {
		var p place
		if err := json.Unmarshal([]byte(os.Getenv(placeVariable)), &p); err != nil {
			return nil, err
		}
		return p.open(context.Background())
	})
	goleak.VerifyTestMain(m)
}

// place is a target and the home of an agent here.
type place struct {
	Home   string
	Spark  testenv.SparkInstall
	Master string
	Mode   string
	Conf   string
	// Bin is a directory of the cluster's programs.
	Bin string
	// SparkConf is a directory of Spark's own configuration.
	SparkConf string
}

// backend is the door and the host behind it.
type backend struct {
	*spark.Backend
	host *host.Here
}

func (b *backend) Close() error { return errors.Join(b.Backend.Close(), b.host.Close()) }

func (p place) open(ctx context.Context) (*backend, error) {
	store, err := snapshot.Open(filepath.Join(p.Home, "objects"))
	if err != nil {
		return nil, err
	}
	here := host.NewHere(p.Home)
	b, err := spark.New(ctx, spark.Options{
		Host: here, Installation: "test-" + filepath.Base(p.Home), Snapshots: store, Master: p.Master, DeployMode: p.Mode,
		Submit: p.Spark.Submit, HadoopConf: p.Conf, Environ: append(os.Environ(), "SPARK_LOCAL_IP=127.0.0.1"),
	})
	if err != nil {
		return nil, errors.Join(err, here.Close())
	}
	return &backend{Backend: b, host: here}, nil
}

func newPlace(t *testing.T, master, mode, conf string) place {
	t.Helper()
	home, err := os.MkdirTemp("", "runner home ü")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return place{Home: home, Spark: testenv.Spark(t), Master: master, Mode: mode, Conf: conf, SparkConf: quiet(t)}
}

func (p place) new(t testing.TB) backends.Backend {
	b, err := p.open(context.WithoutCancel(t.Context()))
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

// shellDriver is a driver that becomes a shell with a command.
const (
	shellDriver  = "runner_conformance.py"
	shellProgram = "import os, sys\nos.execv(sys.argv[1], sys.argv[1:])\n"
)

// adapt makes a Spark application of an attempt.
func (p place) adapt(a *backends.Attempt) {
	c := *a.Config
	if c.Command != "" {
		c.Arguments = c.CommandLine("python3", nil)
		c.Command, c.Script = "", shellDriver
	}
	c.Spark, c.Kind = &runconfig.Spark{}, runconfig.KindSpark
	c.EnvironmentVariables = maps.Clone(c.EnvironmentVariables)
	if c.EnvironmentVariables == nil {
		c.EnvironmentVariables = map[string]string{}
	}
	c.EnvironmentVariables["SPARK_CONF_DIR"], c.EnvironmentVariables["SPARK_LOCAL_IP"] = p.SparkConf, "127.0.0.1"
	a.Config = &c
}

// quiet is a directory of Spark's configuration that has it write nothing of its
// own, so that the script's output can be told from it.
func quiet(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log4j2.properties"), []byte("rootLogger.level = off\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (p place) attemptDir(ref backends.Ref) string {
	return filepath.Join(p.Home, "runs", ref.Run, "attempts", strconv.Itoa(ref.Number))
}

// target is the place for the suite.
func (p place) target(t *testing.T) backendtest.Target {
	t.Helper()
	where, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return backendtest.Target{
		New:   p.new,
		Adapt: p.adapt,
		Environment: &environment.Resolved{
			Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("e", 64), Interpreter: p.Spark.Python,
		},
		Snapshot: func(t testing.TB, dir string) string {
			if err := os.WriteFile(filepath.Join(dir, shellDriver), []byte(shellProgram), 0o644); err != nil {
				t.Fatal(err)
			}
			store, err := snapshot.Open(filepath.Join(p.Home, "objects"))
			if err != nil {
				t.Fatal(err)
			}
			taken, err := store.Take(t.Context(), dir, snapshot.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return string(taken.ID)
		},
		Home: func(_ testing.TB, ref backends.Ref) *artifact.Directory {
			return artifact.OpenDirectory(p.attemptDir(ref))
		},
		Traces: p.traces,
		Disk:   []string{p.Home},
		Vanish: func(t testing.TB, ref backends.Ref) {
			// Its supervisor first, or it would write down how it ended.
			for _, pid := range append([]int{p.supervisor(t, ref)}, marked(ref)...) {
				if running, err := os.FindProcess(pid); err == nil {
					_ = running.Kill()
				}
			}
		},
		Child: []string{placeVariable + "=" + string(where)},
		Many:  3,
		// Java's word on what Spark asks of it.
		Preamble:       "WARNING: Using incubator modules: jdk.incubator.vector\n",
		Startup:        20 * time.Second,
		SignalsAsCodes: "the JVM reports the end of a Python driver as an exit code",
	}
}

// supervisor of an attempt that runs.
func (p place) supervisor(t testing.TB, ref backends.Ref) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.attemptDir(ref), "sup", "lock"))
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

// traces of an attempt: what is left in its directory besides outputs and logs,
// and processes with its mark.
func (p place) traces(t testing.TB, ref backends.Ref) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(p.attemptDir(ref))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "outputs" && e.Name() != "logs" {
			found = append(found, e.Name())
		}
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

// TestLocal is the suite, of which each attempt starts a JVM: by default the
// subjects about how an attempt ends and what is written, whole with make
// conformance.
func TestLocal(t *testing.T) {
	target := newPlace(t, "local[2]", "", "").target(t)
	if os.Getenv("RUNNER_CONFORMANCE") == "full" {
		backendtest.Run(t, target, nil)
		return
	}
	backendtest.RunSubject(t, target, "end")
}
