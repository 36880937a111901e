package spark_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
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

// small keeps an application small, and on loopback.
func small() map[string]string {
	return map[string]string{
		"spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1", "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1", "spark.executor.instances.x": "1",
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
				Configuration: small(), DriverMemory: 512 << 20, ExecutorMemory: 512 << 20, ExecutorInstances: 1,
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
// driver is here and where it is in the cluster.
func TestYARN(t *testing.T) {
	t.Parallel()
	yarn := testenv.YARN(t)
	for _, mode := range []string{runconfig.DeployClient, runconfig.DeployCluster} {
		t.Run(mode, func(t *testing.T) {
			p := newPlace(t, "yarn", mode, yarn.Conf)
			p.Bin = yarn.Bin
			b := p.new(t)
			snapshot := p.target(t).Snapshot(t, source(t, train))
			c := p.carryOut(t, b, p.attempt(t, snapshot, "train-"+mode, "0.1", "3"), nil)
			c.expect(t, run.OutcomeScriptFailed, 3)
			if want := "coefficients 3 of 6 rows ['0.1', '3'] train-" + mode + "\n"; !strings.Contains(c.log, want) {
				t.Errorf("the log has no line %q:\n%s", want, c.log)
			}
			if f, err := c.home.Open(t.Context(), "outputs/model.json"); err != nil {
				t.Error(err)
			} else {
				_ = f.Close()
			}
			if !strings.Contains(c.running.Reason, "application_") {
				t.Errorf("while it ran: %q", c.running.Reason)
			}
		})
	}
	t.Run("killed from outside", func(t *testing.T) {
		p := newPlace(t, "yarn", runconfig.DeployCluster, yarn.Conf)
		p.Bin = yarn.Bin
		snapshot := p.target(t).Snapshot(t, source(t, map[string]string{"train.py": "import time\nfrom pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate()\nprint('begun', flush=True)\ntime.sleep(600)\n"}))
		c := p.carryOut(t, p.new(t), p.attempt(t, snapshot, "killed"), func(ref backends.Ref, o backends.Observation) bool {
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
}
