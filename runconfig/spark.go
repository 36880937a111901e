package runconfig

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/yamlpos"
)

// Kinds of runs.
const (
	// KindSpark is a Spark application, started by spark-submit.
	KindSpark = "spark"
)

// The deploy modes of Spark.
const (
	DeployClient  = "client"
	DeployCluster = "cluster"
)

// Spark makes the run a Spark application: spark-submit starts the script, or a
// class of a jar, on a target of kind spark. The words are spark-submit's own; a
// field that is absent leaves the decision to the target, then to the cluster's
// spark-defaults.conf. In Azure ML v1: SparkConfiguration and hdi.yarn_deploy_mode.
type Spark struct {
	// Master is yarn, spark://HOST:PORT, local or local[N]. Default: the target's.
	Master string `json:"master,omitempty" yaml:"master,omitempty"`
	// DeployMode is client (the driver runs where spark-submit does) or cluster
	// (the driver runs in the cluster; yarn only). Default: the target's.
	DeployMode string `json:"deploy_mode,omitempty" jsonschema:"enum=client,enum=cluster" yaml:"deploy_mode,omitempty"`
	// MainClass of the application, when the script is a jar.
	MainClass string `json:"main_class,omitempty" yaml:"main_class,omitempty"`
	// Configuration are Spark properties, spark.NAME: VALUE, as they are. They
	// are given in a private file, never in a command line.
	Configuration map[string]string `json:"configuration,omitempty" yaml:"configuration,omitempty"`

	// DriverCores of the driver.
	DriverCores int `json:"driver_cores,omitempty" jsonschema:"minimum=1" yaml:"driver_cores,omitempty"`
	// DriverMemory of the driver's heap.
	DriverMemory Bytes `json:"driver_memory,omitempty" yaml:"driver_memory,omitempty"`
	// ExecutorCores of each executor.
	ExecutorCores int `json:"executor_cores,omitempty" jsonschema:"minimum=1" yaml:"executor_cores,omitempty"`
	// ExecutorMemory of each executor's heap.
	ExecutorMemory Bytes `json:"executor_memory,omitempty" yaml:"executor_memory,omitempty"`
	// ExecutorInstances is how many executors are asked for.
	ExecutorInstances int `json:"executor_instances,omitempty" jsonschema:"minimum=1" yaml:"executor_instances,omitempty"`
	// DynamicAllocation lets Spark grow and shrink the number of executors.
	DynamicAllocation *SparkAllocation `json:"dynamic_allocation,omitempty" yaml:"dynamic_allocation,omitempty"`

	// Packages are Maven coordinates, GROUP:ARTIFACT:VERSION.
	Packages []string `json:"packages,omitempty" yaml:"packages,omitempty"`
	// Repositories are where packages are looked for besides the usual ones.
	Repositories []string `json:"repositories,omitempty" yaml:"repositories,omitempty"`
	// PyFiles are .py, .zip and .egg files for the Python path, relative to the
	// source directory or an address the cluster can read. The source's own
	// modules are there without being named.
	PyFiles []string `json:"py_files,omitempty" yaml:"py_files,omitempty"`
	// Files are put in every executor's working directory.
	Files []string `json:"files,omitempty" yaml:"files,omitempty"`
	// Archives are unpacked there, under the name after a #.
	Archives []string `json:"archives,omitempty" yaml:"archives,omitempty"`
	// Jars are put on the class path of driver and executors.
	Jars []string `json:"jars,omitempty" yaml:"jars,omitempty"`
}

// SparkAllocation bounds dynamic allocation.
type SparkAllocation struct {
	// MinExecutors and MaxExecutors that Spark keeps to. Default: Spark's own.
	MinExecutors int `json:"min_executors,omitempty" jsonschema:"minimum=0" yaml:"min_executors,omitempty"`
	MaxExecutors int `json:"max_executors,omitempty" jsonschema:"minimum=1" yaml:"max_executors,omitempty"`
}

// IsSpark reports whether the run is a Spark application.
func (c *ScriptRunConfig) IsSpark() bool { return c.Spark != nil }

// IsJar reports whether a Spark run's script is a jar.
func (c *ScriptRunConfig) IsJar() bool { return strings.EqualFold(path.Ext(c.Script), ".jar") }

// most that any cluster has.
const (
	maxExecutors = 100_000
	maxCores     = 10_000
)

var masterForm = regexp.MustCompile(`^(yarn|local(\[(\*|[0-9]+)(, ?[0-9]+)?\])?|spark://[^\s/]+(:[0-9]+)?(,[^\s/]+(:[0-9]+)?)*)$`)

// CheckMaster says what is wrong with a Spark master, or nothing.
func CheckMaster(master string) (wrong, hint string) {
	if masterForm.MatchString(master) {
		return "", ""
	}
	return fmt.Sprintf("%q is no master that we can follow", master), "yarn, spark://HOST:PORT, local or local[N]"
}

// javaMemory is the least that a Spark process starts with, in bytes.
const javaMemory = 64 << 20

func (v *checks) spark(c *ScriptRunConfig) {
	v.azureML(c)
	s := c.Spark
	switch {
	case s == nil && (c.Kind == KindSpark || c.isPySpark()):
		s = &Spark{} // the word alone
	case s == nil:
		return
	}
	switch {
	case c.Command != "":
		v.addf("command", "give script: train.py, or a jar and spark.main_class", "a Spark run has a script, not a command")
	case c.IsJar() && s.MainClass == "":
		v.addf("spark", "main_class: org.example.Train", "the script is a jar and spark.main_class does not say which class of it")
	case c.Script != "" && !c.IsJar() && !c.IsPython():
		v.addf("script", "a .py file, or a .jar", "spark-submit cannot run %q", c.Script)
	case c.IsPython() && s.MainClass != "":
		v.addf("spark.main_class", "leave it out", "main_class is for jars, and the script is Python")
	}
	if c.Distributed != nil {
		v.addf("distributed", "leave it out: Spark starts the processes of its executors itself", "a Spark run is not distributed by us")
	}
	if s.Master != "" {
		if wrong, hint := CheckMaster(s.Master); wrong != "" {
			v.addf("spark.master", hint, "%s", wrong)
		}
	}
	modes := []string{DeployClient, DeployCluster}
	if s.DeployMode != "" && !slices.Contains(modes, s.DeployMode) {
		v.addf("spark.deploy_mode", yamlpos.DidYouMean(s.DeployMode, modes), "unknown deploy_mode %q", s.DeployMode)
	}
	v.configuration(s, c.isPySpark())
	v.number("spark.driver_cores", s.DriverCores, 1, maxCores)
	v.number("spark.executor_cores", s.ExecutorCores, 1, maxCores)
	v.number("spark.executor_instances", s.ExecutorInstances, 1, maxExecutors)
	v.memory("spark.driver_memory", s.DriverMemory)
	v.memory("spark.executor_memory", s.ExecutorMemory)
	if d := s.DynamicAllocation; d != nil {
		v.number("spark.dynamic_allocation.min_executors", d.MinExecutors, 0, maxExecutors)
		v.number("spark.dynamic_allocation.max_executors", d.MaxExecutors, 1, maxExecutors)
		if d.MaxExecutors > 0 && d.MinExecutors > d.MaxExecutors {
			v.addf("spark.dynamic_allocation.min_executors", "", "min_executors is more than max_executors")
		}
	}
	lists := map[string][]string{
		"packages": s.Packages, "repositories": s.Repositories, "py_files": s.PyFiles, "files": s.Files, "archives": s.Archives, "jars": s.Jars,
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		for i, value := range lists[name] {
			field := fmt.Sprintf("spark.%s[%d]", name, i)
			v.bytes(field, "an entry", value)
			if value == "" || strings.ContainsAny(value, ",\n") {
				v.addf(field, "one entry each; spark-submit separates them with commas", "%q is no entry of %s", value, name)
			}
		}
	}
}

func (v *checks) kind(c *ScriptRunConfig) {
	kinds := []string{KindSpark}
	if c.Kind != "" && !slices.Contains(kinds, c.Kind) {
		v.addf("kind", yamlpos.DidYouMean(c.Kind, kinds), "unknown kind %q", c.Kind)
	}
}

func (v *checks) memory(field string, size Bytes) {
	if size < 0 || size > 0 && size < javaMemory {
		v.addf(field, "", "%s must be at least %s, not %s", field, Bytes(javaMemory), size)
	}
}

// fieldOf is the field of our own that says what a property says, or empty: two
// that say different things would be one too many.
func fieldOf(property string) string {
	switch property {
	case "spark.master":
		return "master"
	case "spark.submit.deployMode":
		return "deploy_mode"
	case "spark.driver.cores":
		return "driver_cores"
	case "spark.driver.memory":
		return "driver_memory"
	case "spark.executor.cores":
		return "executor_cores"
	case "spark.executor.memory":
		return "executor_memory"
	case "spark.executor.instances":
		return "executor_instances"
	default:
		return ""
	}
}

// ownAttempts is YARN's own restarts, of which there is none.
const ownAttempts = "spark.yarn.maxAppAttempts"

// configuration checks properties; taken: those with a field of their own are
// taken for that.
func (v *checks) configuration(s *Spark, taken bool) {
	for _, name := range slices.Sorted(maps.Keys(s.Configuration)) {
		field := yamlpos.Join("spark.configuration", name)
		switch own := fieldOf(name); {
		case !strings.HasPrefix(name, "spark.") || strings.ContainsAny(name, " \t\r\n=:"):
			v.addf(field, "properties of Spark begin with spark. ; those of Hadoop with spark.hadoop.", "%q is no property of Spark", name)
		case name == ownAttempts && s.Configuration[name] != "1":
			v.addf(field, "restart: {failed: N}", "YARN does not start a run of ours again by itself")
		case own != "" && taken:
			v.takes(s, field, name, s.Configuration[name])
		case own != "":
			v.addf(field, "spark."+own, "%s has a field of its own", name)
		}
		v.bytes(field, "the value of "+name, s.Configuration[name])
	}
}
