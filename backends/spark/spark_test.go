package spark_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/backends/spark"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/sparksubmit"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

func TestMain(m *testing.M) {
	backendtest.Main(m, place.open, map[string]backendtest.Program{sparksubmit.Word: sparksubmit.Main})
}

// place is a target and the home of an agent here.
type place struct {
	Home   backendtest.Root
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

func (p place) open(ctx context.Context) (backends.Backend, error) { return p.opened(ctx) }

func (p place) opened(ctx context.Context) (*backend, error) {
	store, err := p.Home.Objects()
	if err != nil {
		return nil, err
	}
	here := host.NewHere(string(p.Home))
	b, err := spark.New(ctx, spark.Options{
		Host: here, Installation: p.Home.Installation(), Snapshots: store, Master: p.Master, DeployMode: p.Mode,
		Submit: p.Spark.Submit, HadoopConf: p.Conf, Environ: append(os.Environ(), "SPARK_LOCAL_IP=127.0.0.1"),
	})
	if err != nil {
		return nil, errors.Join(err, here.Close())
	}
	return &backend{Backend: b, host: here}, nil
}

func newPlace(t *testing.T, master, mode, conf string) place {
	t.Helper()
	return place{Home: backendtest.NewHome(t), Spark: testenv.Spark(t), Master: master, Mode: mode, Conf: conf, SparkConf: quiet(t)}
}

func (p place) new(t testing.TB) backends.Backend {
	return backendtest.Open(t, p.opened)
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

// target is the place for the suite.
func (p place) target(t *testing.T) backendtest.Target {
	t.Helper()
	return backendtest.Target{
		New:         p.new,
		Adapt:       p.adapt,
		Environment: backendtest.Existing(p.Spark.Python),
		Snapshot: func(t testing.TB, dir string) string {
			if err := os.WriteFile(filepath.Join(dir, shellDriver), []byte(shellProgram), 0o644); err != nil {
				t.Fatal(err)
			}
			return p.Home.Snapshot(t, dir)
		},
		Home:   p.Home.Home,
		Traces: p.traces,
		Disk:   []string{string(p.Home)},
		Vanish: p.Home.Vanish,
		Child:  p,
		Many:   3,
		// Java's word on what Spark asks of it.
		Preamble:       "WARNING: Using incubator modules: jdk.incubator.vector\n",
		Startup:        20 * time.Second,
		SignalsAsCodes: "the JVM reports the end of a Python driver as an exit code",
	}
}

// traces of an attempt, but for its outputs and logs, which are at home.
func (p place) traces(t testing.TB, ref backends.Ref) []string {
	t.Helper()
	return p.Home.Traces(t, ref, "outputs", "logs")
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
