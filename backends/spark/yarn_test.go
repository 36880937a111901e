package spark_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// train is a job that uses a module of the source in the executors, reads a file
// of the source in the driver, and leaves a model.
var train = map[string]string{
	"train.py": `import json, os, sys
from pyspark.sql import SparkSession
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
import features

spark = SparkSession.builder.getOrCreate()
rows = [tuple(float(x) for x in line.split(",")) for line in open("data.csv")]
frame = spark.createDataFrame(spark.sparkContext.parallelize(rows, 2).map(features.widen), ["a", "b", "c", "label"])
data = VectorAssembler(inputCols=["a", "b", "c"], outputCol="features").transform(frame)
model = LogisticRegression(regParam=float(sys.argv[1]), maxIter=5).fit(data)
print("coefficients", len(model.coefficients), "of", frame.count(), "rows", sys.argv[1:], os.environ["RUNNER_RUN_ID"], flush=True)
with open("outputs/model.json", "w") as f:
    json.dump({"coefficients": list(model.coefficients)}, f)
spark.stop()
sys.exit(int(sys.argv[2]))
`,
	"features.py": "def widen(row):\n    a, b, label = row\n    return a, b, a * b, label\n",
	"data.csv":    "1,2,0\n2,1,1\n3,5,0\n5,3,1\n2,2,1\n4,9,0\n",
}

func source(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// small keeps an application small, and on loopback. Its nodes have Spark's jars,
// which are hundreds of MiB.
func (p place) small() map[string]string {
	return map[string]string{
		"spark.yarn.jars":                        "local:" + p.Spark.Home + "/jars/*",
		"spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1", "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1",
		"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.yarn.am.memory": "512m",
	}
}

func (p place) attempt(t *testing.T, snapshot, id string, arguments ...string) backends.Attempt {
	t.Helper()
	return backends.Attempt{
		Run: id, Number: 1, Experiment: "spark", Snapshot: snapshot,
		Config: &runconfig.ScriptRunConfig{
			Experiment: "spark", Kind: runconfig.KindSpark, Script: "train.py", Arguments: arguments,
			Resources:            runconfig.Resources{Nodes: 1, CPUs: 1},
			Grace:                runconfig.Duration(20 * time.Second),
			EnvironmentVariables: map[string]string{"SPARK_LOCAL_IP": "127.0.0.1", "PATH": p.Bin + ":" + os.Getenv("PATH")},
			Spark: &runconfig.Spark{
				Configuration: p.small(), DriverMemory: 512 << 20, ExecutorMemory: 512 << 20, ExecutorInstances: 1,
			},
		},
		Environment: &environment.Resolved{
			Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("e", 64), Interpreter: p.Spark.Python,
		},
		Allocation: run.Allocation{CPUs: 1},
	}
}

// carried is what is left of an attempt that was carried out.
type carried struct {
	seen backends.Observation
	log  string
	home *artifact.Directory
	// running is what was seen of it last while it ran.
	running backends.Observation
	// resumed is how often it was adrift.
	resumed int
}

func (p place) carryOut(t *testing.T, b backends.Backend, a backends.Attempt, meanwhile func(backends.Ref, backends.Observation) bool) carried {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := b.Prepare(ctx, a, nil); err != nil {
		t.Fatal(err)
	}
	handle, err := b.Start(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	ref := a.Ref()
	ref.Handle = handle
	t.Cleanup(func() {
		if err := b.Release(context.WithoutCancel(t.Context()), ref); err != nil {
			t.Error(err)
		}
		if left := p.traces(t, ref); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
	c := carried{home: p.Home.Home(t, ref)}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		seen, err := b.Observe(ctx, []backends.Ref{ref})
		if err != nil {
			t.Fatal(err)
		}
		if c.seen = seen[0]; c.seen.Phase == backends.Ended {
			break
		}
		if c.seen.Adrift { // as the controller does
			if err := b.(backends.Resumer).Resume(ctx, a); err != nil {
				t.Fatal(err)
			}
			c.resumed++
			continue
		}
		c.running = c.seen
		if meanwhile != nil && meanwhile(ref, c.seen) {
			meanwhile = nil
		}
		<-tick.C
	}
	r, err := b.Logs(ctx, ref, backends.Source{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	c.log = string(data)
	if err := b.Collect(ctx, ref, c.home); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c carried) expect(t *testing.T, outcome run.Outcome, code int) {
	t.Helper()
	if c.seen.Outcome != outcome || c.seen.ExitCode == nil || *c.seen.ExitCode != code {
		t.Errorf("ended %s (code %v): %s\nlog:\n%s", c.seen.Outcome, c.seen.ExitCode, c.seen.Reason, c.log)
	}
}

// A job that trains and leaves a model, and one whose script fails, where the
// driver is here and where it is in the cluster; and what befalls them there.
func TestYARN(t *testing.T) {
	t.Parallel()
	yarn := testenv.YARN(t)
	at := func(t *testing.T, mode string) place {
		t.Helper()
		p := newPlace(t, "yarn", mode, yarn.Conf)
		p.Bin = yarn.Bin
		return p
	}
	t.Run("while there is a node", func(t *testing.T) {
		for _, mode := range []string{runconfig.DeployClient, runconfig.DeployCluster} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				p := at(t, mode)
				snapshot := p.target(t).Snapshot(t, source(t, train))
				c := p.carryOut(t, p.new(t), p.attempt(t, snapshot, "train-"+mode, "0.1", "3"), nil)
				c.expect(t, run.OutcomeScriptFailed, 3)
				if want := "coefficients 3 of 6 rows ['0.1', '3'] train-" + mode + "\n"; strings.Count(c.log, want) != 1 {
					t.Errorf("the log has not one line %q:\n%s", want, c.log)
				}
				c.has(t, "outputs/model.json")
				if !strings.Contains(c.running.Reason, "application_") {
					t.Errorf("while it ran: %q", c.running.Reason)
				}
			})
		}
		t.Run("killed from outside", func(t *testing.T) {
			t.Parallel()
			p := at(t, runconfig.DeployCluster)
			snapshot := p.target(t).Snapshot(t, source(t, waiting))
			c := p.carryOut(t, p.new(t), p.attempt(t, snapshot, "killed", filepath.Join(t.TempDir(), "never")), func(ref backends.Ref, o backends.Observation) bool {
				id, _, found := strings.Cut(o.Reason, ",")
				if !found || strings.Contains(o.Reason, "waits in queue") {
					return false
				}
				yarn.Kill(t, id)
				return true
			})
			if diff := cmp.Diff(run.OutcomeCanceled, c.seen.Outcome); diff != "" {
				t.Errorf("%s\n%s", diff, c.seen.Reason)
			}
		})
		t.Run("its followers are killed", func(t *testing.T) {
			t.Parallel()
			p := at(t, runconfig.DeployCluster)
			snapshot := p.target(t).Snapshot(t, source(t, waiting))
			gate := filepath.Join(t.TempDir(), "gate")
			a := p.attempt(t, snapshot, "adrift", gate)
			b := p.new(t)
			kills := []string{"the supervisor, before there is an application", "the supervisor, while it runs", "the follower, while it runs"}
			killed := 0
			c := p.carryOut(t, b, a, func(ref backends.Ref, o backends.Observation) bool {
				runs := strings.Contains(p.logOf(t, b, ref), "begun\n")
				if killed < len(kills) && runs != (killed > 0) {
					return false
				}
				switch killed {
				case 0, 1:
					p.kill(t, ref, "supervisor")
				case 2:
					p.kill(t, ref, "pid")
				default:
					if err := os.WriteFile(gate, nil, 0o644); err != nil {
						t.Fatal(err)
					}
					return true
				}
				killed++
				return false
			})
			c.expect(t, run.OutcomeCompleted, 0)
			if c.resumed < len(kills) {
				t.Errorf("followed again %d times", c.resumed)
			}
			if n := strings.Count(c.log, "begun\n"); n != 1 || strings.Count(c.log, "\ndone\n") != 1 {
				t.Errorf("the log:\n%s", c.log)
			}
			c.has(t, "outputs/result")
			if n := yarn.Submitted(t, "runner-adrift"); n != 1 {
				t.Errorf("submitted %d times", n)
			}
		})
	})
	t.Run("its node is lost", func(t *testing.T) {
		p := at(t, runconfig.DeployCluster)
		snapshot := p.target(t).Snapshot(t, source(t, waiting))
		gate := filepath.Join(t.TempDir(), "gate")
		b := p.new(t)
		c := p.carryOut(t, b, p.attempt(t, snapshot, "node", gate), func(ref backends.Ref, _ backends.Observation) bool {
			if !strings.Contains(p.logOf(t, b, ref), "begun\n") {
				return false
			}
			yarn.KillNode()
			return true
		})
		if err := os.WriteFile(gate, nil, 0o644); err != nil { // the driver is nobody's now, and ends
			t.Fatal(err)
		}
		if diff := cmp.Diff(run.OutcomeNodeLost, c.seen.Outcome); diff != "" {
			t.Errorf("%s\n%s\n%s", diff, c.seen.Reason, c.log)
		}
	})
}

// waiting is a script that waits for a file here, where the cluster is, and leaves
// another.
var waiting = map[string]string{"train.py": `import os, sys, time
from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate()
print("begun", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.1)
open("outputs/result", "w").write("x")
print("done", flush=True)
`}

// says sees that a text is in the log, once.
func (c carried) says(t *testing.T, text string) {
	t.Helper()
	if n := strings.Count(c.log, text); n != 1 {
		t.Errorf("the log says %q %d times:\n%s", text, n, c.log)
	}
}

// has sees that a file came home.
func (c carried) has(t *testing.T, name string) {
	t.Helper()
	f, err := c.home.Open(t.Context(), name)
	if err != nil {
		t.Errorf("%v\nlog:\n%s", err, c.log)
		return
	}
	_ = f.Close()
}

func (p place) logOf(t *testing.T, b backends.Backend, ref backends.Ref) string {
	t.Helper()
	r, err := b.Logs(t.Context(), ref, backends.Source{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// kill kills the one that started.json names so, and waits for its end.
func (p place) kill(t *testing.T, ref backends.Ref, who string) {
	t.Helper()
	sup := filepath.Join(string(p.Home), "runs", ref.Run, "attempts", "1", "sup")
	data, err := os.ReadFile(filepath.Join(sup, "started.json"))
	if err != nil {
		t.Fatal(err)
	}
	var started map[string]any
	if err := json.Unmarshal(data, &started); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(started[who].(float64)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); supervise.StatusOf(sup).Phase == supervise.Running; {
		if time.Now().After(end) {
			t.Fatal("it cannot be killed")
		}
	}
}
