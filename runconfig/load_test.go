package runconfig_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/runconfig"
	"go.yaml.in/yaml/v4"
)

// goodSpecs are right in every way; the schema test reads them too.
var goodSpecs = map[string]string{
	"script alone":  "script: train.py\n",
	"command alone": "command: python train.py\n",
	"live outputs":  "script: train.py\noutputs: {upload: live, every: 90s, store: results}\n",
	"everything of the contract": `
experiment: iris
display_name: baseline
tags: {team: vision, n: 3, ok: true}
source_directory: .
script: train.py
arguments: [--alpha, 0.5, true, "", "a b"]
compute_target: local
environment:
  name: sklearn
  python:
    version: 3.10
    pip: [scikit-learn==1.5.2]
    user_managed: false
    interpreter_path: python3
  docker:
    image: cpu
    registry: {address: registry.example.com, username: me, password: {env: REGISTRY_PASSWORD}}
    arguments: [--ipc=host]
    shm_size: 2GiB
    volumes: ["/data:/data:ro"]
  environment_variables: {OMP_NUM_THREADS: 1}
resources: {nodes: 1, cpus: 2.5, memory: 4GiB, gpus: 0}
distributed: {framework: pytorch, processes_per_node: 1}
inputs:  {data: {path: ./data, mode: copy}, far: {path: "https://example.com/x"}}
environment_variables: {SEED: 7}
secrets: [HF_TOKEN]
priority: 0
vm_priority: lowpriority
max_run_duration: 2h
grace: 90
restart: {preempted: 10, failed: 0}
`,
	"environment by name":      "script: a.py\nenvironment: sklearn\n",
	"environment by file":      "script: a.py\nenvironment: envs/a.yaml\n",
	"conda by file":            "script: a.py\nenvironment: {python: {conda: environment.yml}}\n",
	"conda as conda writes it": "script: a.py\nenvironment: {python: {conda: {name: x, channels: [conda-forge], dependencies: [python=3.11, {pip: [six]}]}}}\n",
	"command with inputs":      "command: python train.py --data ${{inputs.data}} --n ${{ inputs.n }}\ninputs: {data: {path: a}, n: {path: b}}\n",
	"size and time as numbers": "script: a.py\nresources: {memory: 1073741824}\nmax_run_duration: 0.5\n",
	"JSON":                     "{\n\t\"script\": \"tr\\u0061in.py\",\n\t\"tags\": {\"smile\": \"\\ud83d\\ude00\"}\n}\n",
	"anchors and merge keys":   "script: a.py\ninputs:\n  a: &base {path: x, mode: copy}\n  b: {<<: *base, path: y}\n",
	"a Spark job": `
kind: spark
script: train.py
spark:
  master: yarn
  deploy_mode: cluster
  configuration: {spark.dynamicAllocation.shuffleTracking.enabled: true, spark.sql.shuffle.partitions: 8}
  driver_cores: 1
  driver_memory: 2g
  executor_cores: 2
  executor_memory: 4GiB
  executor_instances: 2
  dynamic_allocation: {min_executors: 1, max_executors: 4}
  packages: ["org.example:lib_2.13:1.0"]
  py_files: [lib/helpers.py]
  archives: ["data.zip#data"]
`,
	"a Spark job in a word": "kind: spark\nscript: train.py\n",
	"an Azure ML v1 Spark job": `framework: PySpark
script: train.py
hdi: {yarn_deploy_mode: cluster}
spark:
  configuration: {spark.yarn.maxAppAttempts: 1, spark.executor.memory: 4g, spark.executor.instances: 3, spark.app.name: iris}
`,
	"an Azure ML v1 job":            "framework: Python\nscript: train.py\n",
	"a null field is an absent one": "script: a.py\nenvironment:\nresources: {memory: }\n",
}

func TestLoad(t *testing.T) {
	for name, text := range goodSpecs {
		t.Run(name, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "My Project!")
			c, err := load(t, directory, text)
			if err != nil {
				t.Fatal(err)
			}
			if c.SourceDirectory != directory {
				t.Errorf("source directory %s", c.SourceDirectory)
			}
			sent, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			var received runconfig.ScriptRunConfig
			if err := json.Unmarshal(sent, &received); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, &received, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("sent as JSON it changes:\n%s", diff)
			}
			again, err := yaml.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			c2, err := load(t, filepath.Join(t.TempDir(), "elsewhere"), string(again))
			if err != nil {
				t.Fatalf("what Load gave is not loadable: %v\n%s", err, again)
			}
			if diff := cmp.Diff(c, c2); diff != "" {
				t.Errorf("loading again changes it:\n%s", diff)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "My Project!")
	got, err := load(t, directory, "script: a.py\nresources: {gpus: 2}\ndistributed: {framework: mpi}\ninputs: {d: {path: x}}\nenvironment: {python: {requirements: r.txt}}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := &runconfig.ScriptRunConfig{
		Experiment: "My-Project", SourceDirectory: directory, Script: "a.py", ComputeTarget: "local",
		Environment: &runconfig.EnvironmentRef{Spec: &environment.Spec{
			Python: &environment.Python{Requirements: filepath.Join(directory, "r.txt")},
		}},
		Resources:   runconfig.Resources{Nodes: 1, CPUs: 1, GPUs: 2},
		Distributed: &runconfig.Distributed{Framework: "mpi", ProcessesPerNode: 2},
		Inputs:      map[string]runconfig.Input{"d": {Path: filepath.Join(directory, "x"), Mode: "mount"}},
		VMPriority:  runconfig.Dedicated, Grace: runconfig.DefaultGrace,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Restart.PreemptedRestarts() != 10 || got.Restart.FailedRestarts() != 0 {
		t.Errorf("restarts %d, %d", got.Restart.PreemptedRestarts(), got.Restart.FailedRestarts())
	}
}

// badSpecs have one mistake each, or several, and the whole message.
var badSpecs = []struct{ name, text, want string }{
	{"empty", "", "the file is empty: job.yaml\nhint: a spec has at least \"script: train.py\" or \"command: ...\""},
	{"only a comment", "# nothing\n", "the file is empty: job.yaml\nhint: a spec has at least \"script: train.py\" or \"command: ...\""},
	{"null", "~", "the file is empty: job.yaml\nhint: a spec has at least \"script: train.py\" or \"command: ...\""},
	{"a list", "[script]\n", "the document must be a mapping, not a list: job.yaml:1:1"},
	{"two documents", "script: a.py\n---\nscript: b.py\n", "the file holds more than one document: job.yaml:3:1\nhint: put each run into a file of its own"},
	{"broken YAML", "script: a.py\ntags: {a: b\n", "not valid YAML: did not find expected ',' or '}': job.yaml:3:1"},
	{"a tab", "resources:\n\tcpus: 1\n", "not valid YAML: found character that cannot start any token: job.yaml:2:1\nhint: indent with spaces, not tabs, and quote values that begin with @, ` or %"},
	{"misspelt field", "script: a.py\nenvironmment: x\n", "unknown field \"environmment\": job.yaml:2:1\nhint: did you mean \"environment\"?"},
	{"live misspelt", "script: a.py\noutputs: {upload: lvie}\n", "upload is end or live, not \"lvie\": job.yaml:2:19\nhint: one of end, live"},
	{"every alone", "script: a.py\noutputs: {every: 60s}\n", "every says nothing without upload: live: job.yaml:2:18\nhint: write upload: live"},
	{"every too often", "script: a.py\noutputs: {upload: live, every: 1s}\n", "every must be at least 5s: job.yaml:2:32"},
	{"a store with a slash", "script: a.py\noutputs: {store: a/b}\n", "the name of an artifact store has letters, digits, dots, dashes and underscores: job.yaml:2:18"},
	{"camel case", "script: a.py\ncomputeTarget: x\n", "unknown field \"computeTarget\": job.yaml:2:1\nhint: did you mean \"compute_target\"?"},
	{"misspelt script", "scrpt: a.py\n", "unknown field \"scrpt\": job.yaml:1:1\nhint: did you mean \"script\"?"},
	{"deep misspelt field", "script: a.py\nenvironment:\n  docker: {imgae: cpu}\n", "unknown field \"imgae\": job.yaml:3:12\nhint: did you mean \"image\"?"},
	{
		"several at once", "script: a.py\ncommand: b\nresources: {cpus: two, gpus: -1}\nsecrets: [x y]\n",
		"script and command are given together: job.yaml:2:10\nhint: keep one of them\n" +
			"resources.cpus must be a number, not \"two\": job.yaml:3:19\n" +
			"resources.gpus must be between 0 and 1000, not -1: job.yaml:3:30\n" +
			"a secret's name is no name of an environment variable: job.yaml:4:11\nhint: secrets lists names of environment variables, never their values",
	},
	{"nothing to run", "experiment: x\n", "neither script nor command is given: job.yaml:1:1\nhint: give script: train.py, or command: ..."},
	{"twice", "script: a.py\nscript: b.py\n", "\"script\" is given twice: job.yaml:2:1"},
	{"twice in JSON", "{\"script\": \"a.py\",\n \"script\": \"b.py\"}", "\"script\" is given twice: job.yaml:2:2"},
	{"absolute script", "script: /a.py\n", "script \"/a.py\" is an absolute path: job.yaml:1:9\nhint: write it relative to source_directory"},
	{"script outside", "script: x/../../a.py\n", "script \"x/../../a.py\" is outside the source directory: job.yaml:1:9\nhint: set source_directory to a directory around it"},
	{"no nodes", "script: a.py\nresources: {nodes: 0}\n", "resources.nodes must be between 1 and 10000, not 0: job.yaml:2:20"},
	{"memory of 4 bytes", "script: a.py\nresources: {memory: 4}\n", "resources.memory must be at least 6MiB, not 4: job.yaml:2:21\nhint: a number alone is bytes; 4GiB?"},
	{"memory in words", "script: a.py\nresources: {memory: lots}\n", "resources.memory: \"lots\" is no size: write for example 4GiB, 500MB or 1073741824: job.yaml:2:21"},
	{"fraction of a GPU", "script: a.py\nresources: {gpus: 0.5}\n", "resources.gpus must be a whole number, not \"0.5\": job.yaml:2:19"},
	{"a time in words", "script: a.py\ngrace: soon\n", "grace: \"soon\" is no length of time: write for example 2h, 90m, 1d12h or 3600: job.yaml:2:8"},
	{"no grace", "script: a.py\ngrace: 0\n", "grace must be more than 0: job.yaml:2:8\nhint: 1s is next to nothing"},
	{"framework", "script: a.py\ndistributed: {framework: torch}\n", "unknown framework \"torch\": job.yaml:2:26\nhint: did you mean \"pytorch\"?"},
	{"vm priority", "script: a.py\nvm_priority: low-priority\n", "unknown vm_priority \"low-priority\": job.yaml:2:14\nhint: did you mean \"lowpriority\"?"},
	{"input that is not there", "command: a ${{inputs.dat}}\ninputs: {data: {path: x}}\n", "${{inputs.dat}} names no input: job.yaml:1:10\nhint: did you mean \"data\"?"},
	{"other expression", "command: a ${{steps.x}}\n", "${{steps.x}} stands for nothing: job.yaml:1:10\nhint: only ${{inputs.NAME}} and ${{outputs.NAME}} are understood"},
	{"open expression", "command: a ${{inputs.x\n", "${{inputs.x has no end: job.yaml:1:10\nhint: close it with }}"},
	{"arguments nowhere", "command: |\n  a\n  b\narguments: [x]\n", "it is not clear where in the command the arguments go: job.yaml:4:12\nhint: write \"$@\" in the command where the arguments belong"},
	{"reserved variable", "script: a.py\nenvironment_variables: {RUNNER_RUN_ID: x}\n", "RUNNER_RUN_ID is set by Runner itself: job.yaml:2:40\nhint: choose another name"},
	{"null variable", "script: a.py\nenvironment_variables: {A: }\n", "environment_variables.A has no value: job.yaml:2:28\nhint: write \"\" for an empty text, or leave the line out"},
	{"null argument", "script: a.py\narguments: [a, ~]\n", "arguments[1] is empty: job.yaml:2:16\nhint: write \"\" for an empty text"},
	{"arguments as text", "script: a.py\narguments: --lr 3\n", "arguments must be a list, not \"--lr 3\": job.yaml:2:12\nhint: write [--lr 3]"},
	{"image and Dockerfile", "script: a.py\nenvironment: {docker: {image: cpu, dockerfile: D}}\n", "image and dockerfile are given together: job.yaml:2:48\nhint: the Dockerfile's FROM names the image"},
	{"pip and requirements", "script: a.py\nenvironment: {python: {pip: [a], requirements: r}}\n", "pip and requirements are given together: job.yaml:2:48\nhint: put all of them into one of the two"},
	{"password in the open", "script: a.py\nenvironment: {docker: {image: x, registry: {address: a, username: u, password: hunter2}}}\n", "environment.docker.registry.password must be a mapping, not text: job.yaml:2:80"},
	{"experiment with a slash", "script: a.py\nexperiment: a/b\n", "experiment \"a/b\" is no name: job.yaml:2:13\nhint: use letters, digits, dots, dashes and underscores; for example a-b"},
	{"unknown scheme", "script: a.py\ninputs: {d: {path: 's3://x/y'}}\n", "inputs from s3:// are not known: job.yaml:2:20\nhint: one of azblob, https, abfss, wasbs, abfs, wasb"},
	{"path of the target", "script: a.py\ninputs: {d: {path: 'target:data'}}\n", "a path of the target must begin with a slash: target:data: job.yaml:2:20\nhint: target:/data/imagenet"},
	{"no run", "script: a.py\ninputs: {d: {path: 'run:/outputs/x'}}\n", "run:/outputs/x names no run: job.yaml:2:20\nhint: run:RUN/outputs/model"},
	{"not what a run left", "script: a.py\ninputs: {d: {path: 'run:r/work/x'}}\n", "what a run left is in outputs/ and logs/, not in \"work/x\": job.yaml:2:20\nhint: run:r/outputs/model"},
	{"out of what a run left", "script: a.py\ninputs: {d: {path: 'run:r/outputs/../../x'}}\n", "what a run left is in outputs/ and logs/, not in \"outputs/../../x\": job.yaml:2:20\nhint: run:r/outputs/model"},
	{"address with a SAS", "script: a.py\ninputs: {d: {path: 'https://a.blob.core.windows.net/c/x?sv=1&sig=hunter2'}}\n", "the address holds a signature (SAS), which would be shown wherever the run is: job.yaml:2:20\nhint: leave it away, and say in config.yaml under storage_accounts how the account is reached"},
	{"address with a password", "script: a.py\ninputs: {d: {path: 'https://u:hunter2@example.com/x'}}\n", "the address holds a name or password, which would be shown wherever the run is: job.yaml:2:20\nhint: leave what stands before the @ away"},
	{"sha256", "script: a.py\ninputs: {d: {path: 'https://example.com/x', sha256: abc}}\n", "sha256 must be 64 hexadecimal digits: job.yaml:2:53\nhint: sha256sum FILE prints it"},
	{"sha256 of a directory", "script: a.py\ninputs: {d: {path: x, sha256: abc}}\n", "sha256 is of a file from an https:// address: job.yaml:2:31\nhint: all others are checked without it"},
	{"a misspelt field of Spark", "script: a.py\nspark: {deploymode: client}\n", "unknown field \"deploymode\": job.yaml:2:9\nhint: did you mean \"deploy_mode\"?"},
	{"a framework", "script: a.py\nframework: pysparc\n", "unknown framework \"pysparc\": job.yaml:2:12\nhint: did you mean \"pyspark\"?"},
	{"a framework of processes", "script: a.py\nframework: mpi\n", "unknown framework \"mpi\": job.yaml:2:12\nhint: distributed.framework names how the processes of a run find each other"},
	{"a framework that is not Spark's", "script: a.py\nkind: spark\nframework: python\n", "a Spark run's framework is not python: job.yaml:3:12\nhint: framework: pyspark"},
	{"two deploy modes", "script: a.py\nframework: pyspark\nhdi: {yarn_deploy_mode: cluster}\nspark: {deploy_mode: client}\n", "spark.deploy_mode says client, and hdi.yarn_deploy_mode cluster: job.yaml:3:25\nhint: leave one of them out"},
	{"a deploy mode without Spark", "script: a.py\nhdi: {yarn_deploy_mode: cluster}\n", "yarn_deploy_mode is about Spark runs: job.yaml:2:25\nhint: framework: pyspark"},
	{"a property that says a field", "script: a.py\nframework: pyspark\nspark: {executor_cores: 2, configuration: {spark.executor.cores: 3}}\n", "spark.executor.cores and spark.executor_cores say the same thing: job.yaml:3:66\nhint: leave one of them out"},
	{"a property without sense", "script: a.py\nframework: pyspark\nspark: {configuration: {spark.executor.memory: much}}\n", "\"much\" is no value for spark.executor.memory: job.yaml:3:48"},
	{"YARN's own restarts", "script: a.py\nkind: spark\nspark: {configuration: {spark.yarn.maxAppAttempts: 4}}\n", "YARN does not start a run of ours again by itself: job.yaml:3:52\nhint: restart: {failed: N}"},
	{"a Spark command", "command: a\nkind: spark\n", "a Spark run has a script, not a command: job.yaml:1:10\nhint: give script: train.py, or a jar and spark.main_class"},
	{"a jar without a class", "script: a.jar\nspark: {master: yarn}\n", "the script is a jar and spark.main_class does not say which class of it: job.yaml:2:8\nhint: main_class: org.example.Train"},
	{"a Spark shell script", "script: a.sh\nkind: spark\n", "spark-submit cannot run \"a.sh\": job.yaml:1:9\nhint: a .py file, or a .jar"},
	{"a master", "script: a.py\nspark: {master: mesos://x}\n", "\"mesos://x\" is no master that we can follow: job.yaml:2:17\nhint: yarn, spark://HOST:PORT, local or local[N]"},
	{"no property of Spark", "script: a.py\nspark: {configuration: {fs.s3.key: x}}\n", "\"fs.s3.key\" is no property of Spark: job.yaml:2:36\nhint: properties of Spark begin with spark. ; those of Hadoop with spark.hadoop."},
	{"a property with a field", "script: a.py\nspark: {configuration: {spark.executor.memory: 1g}}\n", "spark.executor.memory has a field of its own: job.yaml:2:48\nhint: spark.executor_memory"},
	{"too little for a JVM", "script: a.py\nspark: {executor_memory: 4}\n", "spark.executor_memory must be at least 64MiB, not 4: job.yaml:2:26"},
	{"two in one entry", "script: a.py\nspark: {packages: ['a:b:1,c:d:2']}\n", "\"a:b:1,c:d:2\" is no entry of packages: job.yaml:2:20\nhint: one entry each; spark-submit separates them with commas"},
	{"an alias that holds itself", "script: a.py\ntags: &a {x: *a}\n", "the alias *a stands inside what it stands for: job.yaml:2:14"},
	{"a tag of its own", "script: !!binary aGk=\n", "script has the tag !!binary, which is not text: job.yaml:1:9\nhint: quote the value"},
}

func TestLoadRefuses(t *testing.T) {
	for _, test := range badSpecs {
		t.Run(test.name, func(t *testing.T) {
			_, err := runconfig.Parse("job.yaml", []byte(test.text), nil)
			var wrong *runconfig.SpecError
			if !errors.As(err, &wrong) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, wrong.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadLimits(t *testing.T) {
	bomb := "script: a.py\ntags:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		n, before := string(rune('0'+i)), "*a"+string(rune('0'+i-1))
		bomb += "  a" + n + ": &a" + n + " [" + strings.Repeat(before+", ", 9) + before + "]\n"
	}
	tests := map[string]struct{ text, want string }{
		"huge":       {"script: " + strings.Repeat("a", 1<<20), "larger than 1048576 bytes"},
		"deep":       {"script: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "nested deeper"},
		"deeper":     {strings.Repeat("[", 200_000), ""},
		"deep JSON":  {`{"script": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", "nested deeper"},
		"alias bomb": {bomb, ""},
		"not text":   {"script: \xff\xfe\n", "the file is not UTF-8 text: job.yaml:1:9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := runconfig.Parse("job.yaml", []byte(test.text), nil)
			var wrong *runconfig.SpecError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %.300v", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestLoadMissingScript(t *testing.T) {
	directory := t.TempDir()
	write(t, filepath.Join(directory, "src", "train.py"), "")
	tests := []struct{ text, want string }{
		{"source_directory: src\nscript: trian.py\n", "the script trian.py is not in the source directory " + directory + "/src: job.yaml:2:9\nhint: did you mean \"train.py\"?"},
		{"source_directory: nosuch\nscript: train.py\n", "source_directory " + directory + "/nosuch: no such file or directory: job.yaml:1:19"},
		{"source_directory: src/train.py\nscript: train.py\n", "source_directory " + directory + "/src/train.py is not a directory: job.yaml:1:19\nhint: name the directory around it"},
		{"script: src\n", "the script src is a directory: job.yaml:1:9\nhint: name a file in it"},
	}
	for _, test := range tests {
		path := filepath.Join(directory, "job.yaml")
		write(t, path, test.text)
		_, err := runconfig.Load(path, nil)
		if err == nil {
			t.Errorf("no error for %q", test.text)
		} else if diff := cmp.Diff(test.want, strings.ReplaceAll(err.Error(), path, "job.yaml")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := runconfig.Load(filepath.Join(t.TempDir(), "job.yaml"), nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
}

func TestFromScript(t *testing.T) {
	directory := t.TempDir()
	script := filepath.Join(directory, "src", "train.py")
	write(t, script, "")
	tests := map[string]struct {
		sets           []string
		script, source string
		wrong          string
	}{
		"alone":          {nil, "train.py", filepath.Join(directory, "src"), ""},
		"with a source":  {[]string{"source_directory=" + directory}, "src/train.py", directory, ""},
		"outside source": {[]string{"source_directory=" + filepath.Join(directory, "other")}, "", "", "is not inside the source directory"},
		"wrong set":      {[]string{"prioritty=3"}, "", "", `unknown field "prioritty": --set prioritty=...`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := runconfig.FromScript(script, test.sets)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Script != test.script || c.SourceDirectory != test.source || c.ComputeTarget != "local" {
				t.Errorf("script %s in %s on %s", c.Script, c.SourceDirectory, c.ComputeTarget)
			}
		})
	}
}

func load(t *testing.T, directory, text string, sets ...string) (*runconfig.ScriptRunConfig, error) {
	t.Helper()
	path := filepath.Join(directory, "job.yaml")
	write(t, path, text)
	for _, script := range []string{"train.py", "a.py"} {
		write(t, filepath.Join(directory, script), "")
	}
	return runconfig.Load(path, sets)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
