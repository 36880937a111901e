package sparksubmit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/runconfig"
)

func TestEscapeProperty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, want string
		isName           bool
	}{
		{"plain", "4g", "4g", false},
		{"backslash", `a\b`, `a\\b`, false},
		{"lines", "a\nb\r\tc", `a\nb\r\tc`, false},
		{"leading space", "  a b", `\  a b`, false},
		{"equals in a value", "-Da=b", "-Da=b", false},
		{"equals in a name", "a=b:c d", `a\=b\:c\ d`, true},
		{"umlaut", "ü", `\u00fc`, false},
		{"beyond the first plane", "😀", `\ud83d\ude00`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := escapeProperty(c.text, c.isName); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What the cluster's defaults say comes first, so that ours counts; the file is
// nobody else's to read.
func TestWriteProperties(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	defaults := filepath.Join(dir, "spark-defaults.conf")
	if err := os.WriteFile(defaults, []byte("spark.eventLog.enabled true\nspark.executor.memory 1g"), 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "spark.properties")
	if err := writeProperties(name, defaults, map[string]string{"spark.executor.memory": "2048m", "spark.app.x": "y"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := "spark.eventLog.enabled true\nspark.executor.memory 1g\nspark.app.x=y\nspark.executor.memory=2048m\n"
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestProperties(t *testing.T) {
	t.Setenv("SEED", "7")
	t.Setenv("HF_TOKEN", "very secret")
	p := Plan{
		Run: "iris-1", Attempt: 2, Master: "yarn", DeployMode: "cluster", Interpreter: "/e/bin/python", Environment: "sha256:e",
		Variables: []string{"HF_TOKEN", "SEED"}, Secrets: []string{"HF_TOKEN"},
		Spark: runconfig.Spark{
			Configuration: map[string]string{"spark.yarn.tags": "mine", "spark.x": "y"}, ExecutorMemory: 3<<30 + 1, ExecutorInstances: 2,
			DynamicAllocation: &runconfig.SparkAllocation{MaxExecutors: 5},
		},
	}
	want := map[string]string{
		"spark.x": "y", "spark.yarn.tags": "mine,runner-iris-1,runner-iris-1-2", "spark.yarn.maxAppAttempts": "1",
		"spark.yarn.submit.waitAppCompletion": "false", "spark.executor.memory": "3073m", "spark.executor.instances": "2",
		"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "5", "spark.executorEnv.SEED": "7",
		"spark.pyspark.python": "./environment/bin/python",
	}
	if diff := cmp.Diff(want, p.properties()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("mine", p.Spark.Configuration["spark.yarn.tags"]); diff != "" {
		t.Errorf("the spec was changed: %s", diff)
	}
}

// What a value holds never stands in the command line.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	p := Plan{
		Run: "r", Attempt: 1, Name: "two\nlines", Master: "yarn", DeployMode: "client", Script: "train.py", Work: "/w", Arguments: []string{"--secret-argument"},
		Spark: runconfig.Spark{
			Configuration: map[string]string{"spark.hadoop.fs.azure.account.key": "very secret"}, Packages: []string{"a:b:1"},
			Jars: []string{"lib/x.jar", "hdfs:///y.jar"}, Archives: []string{"my data.zip#data"},
		},
	}
	got := p.commandLine("/s/spark-submit", sent{properties: "/p", driver: "/d.py", config: "/c.json", modules: "/m.zip"})
	want := []string{
		"/s/spark-submit", "--master", "yarn", "--name", "two lines", "--properties-file", "/p", "--deploy-mode", "client",
		"--py-files", "file:///m.zip", "--archives", "file:///w/my%20data.zip#data", "--jars", "file:///w/lib/x.jar,hdfs:///y.jar", "--packages", "a:b:1", "/d.py",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	jar := Plan{Name: "j", Master: "local", Script: "t.jar", Work: "/w", Arguments: []string{"a b"}, Spark: runconfig.Spark{MainClass: "x.Y"}}
	line := strings.Join(jar.commandLine("s", sent{properties: "/p"}), "|")
	if want := "s|--master|local|--name|j|--properties-file|/p|--class|x.Y|/w/t.jar|a b"; line != want {
		t.Errorf("got %s", line)
	}
}
