package runconfig

import "github.com/runnerml/runner/environment"

// ScriptRunConfig is one description of a training run: what to run, in which
// environment, on which compute target. The name and the words are Azure ML's.
type ScriptRunConfig struct {
	// Experiment groups runs. Default: the source directory's name.
	// Letters, digits, dots, dashes and underscores.
	Experiment string `json:"experiment,omitempty" yaml:"experiment,omitempty"`
	// DisplayName says in listings what this run is about. One line.
	DisplayName string `json:"display_name,omitempty" yaml:"display_name,omitempty"`
	// Tags are names with values to find runs by.
	Tags map[string]string `json:"tags,omitempty" yaml:"tags,omitempty"`

	// SourceDirectory is pictured and copied to the target. Default: the
	// directory of the spec. Relative to the spec. After Load it is absolute.
	SourceDirectory string `json:"source_directory,omitempty" yaml:"source_directory,omitempty"`
	// Script is the file to run, relative to SourceDirectory: Python under the
	// environment's interpreter, any other by its first line (#!), and a .sh
	// without one under /bin/sh. Exactly one of Script and Command is set.
	Script string `json:"script,omitempty" yaml:"script,omitempty"`
	// Command is a shell command line (POSIX sh). ${{inputs.NAME}} stands for
	// the path of an input, quoted.
	Command string `json:"command,omitempty" yaml:"command,omitempty"`
	// Arguments reach the script byte for byte. For a command they are the
	// shell's "$@", appended when a command of one line does not mention them.
	Arguments []string `json:"arguments,omitempty" yaml:"arguments,omitempty"`

	// Array makes many runs of the one spec, with different arguments.
	Array *Array `json:"array,omitempty" yaml:"array,omitempty"`

	// ComputeTarget names an attached target. Default local.
	ComputeTarget string `json:"compute_target,omitempty" yaml:"compute_target,omitempty"`
	// Path is PATH of the shell that submitted to this computer, so that a
	// virtual environment that is active there counts. Filled in by the
	// command, not by specs. Plain processes only.
	Path string `json:"path,omitempty" yaml:"-"`
	// Environment is a registered name, a file, or inline. Default: python3 as
	// it is found on the target.
	Environment *EnvironmentRef `json:"environment,omitempty" yaml:"environment,omitempty"`

	// Resources that one node of the run needs.
	Resources Resources `json:"resources" yaml:"resources,omitempty"`
	// Distributed says how the run's processes find each other. Default: one
	// process a node, told nothing of the others.
	Distributed *Distributed `json:"distributed,omitempty" yaml:"distributed,omitempty"`

	// Kind is spark for a Spark application; a spark section says the same.
	// Default: an ordinary run.
	Kind string `json:"kind,omitempty" jsonschema:"enum=spark" yaml:"kind,omitempty"`
	// Framework is Azure ML v1's word: pyspark says kind: spark, and properties of
	// spark.configuration that have a field of their own are taken for that; python
	// says that it is an ordinary run.
	Framework string `json:"framework,omitempty" jsonschema:"enum=pyspark,enum=PySpark,enum=python,enum=Python" yaml:"framework,omitempty"`
	// HDI is Azure ML v1's section for HDInsight.
	HDI *HDI `json:"hdi,omitempty" yaml:"hdi,omitempty"`
	// Spark makes the run a Spark application, on a target of kind spark.
	Spark *Spark `json:"spark,omitempty" yaml:"spark,omitempty"`

	// Inputs are data the script reads, by name. It finds the path of each in
	// RUNNER_INPUT_<NAME>, and a command in ${{inputs.NAME}}.
	Inputs map[string]Input `json:"inputs,omitempty" yaml:"inputs,omitempty"`
	// Outputs says what becomes of what the script leaves; a name that is none of
	// its fields is a named output.
	Outputs Outputs `json:"outputs,omitzero" yaml:"outputs,omitempty"`
	// EnvironmentVariables are set for the script; they win over those of the
	// environment.
	EnvironmentVariables map[string]string `json:"environment_variables,omitempty" yaml:"environment_variables,omitempty"`
	// Secrets are names of environment variables of whoever submits; the
	// script finds them under the same names.
	Secrets []string `json:"secrets,omitempty" yaml:"secrets,omitempty"`

	// Priority in the queue: higher goes first. Default 0.
	Priority int `json:"priority" yaml:"priority,omitempty"`
	// VMPriority is dedicated, or lowpriority: cheaper, may be preempted, and
	// then restarts by itself. Default dedicated.
	VMPriority VMPriority `json:"vm_priority,omitempty" jsonschema:"enum=dedicated,enum=lowpriority" yaml:"vm_priority,omitempty"`
	// MaxRunDuration of one attempt's script. Default: no limit.
	MaxRunDuration Duration `json:"max_run_duration,omitempty" yaml:"max_run_duration,omitempty"`
	// Grace is the time between SIGTERM and SIGKILL on cancel, timeout and
	// preemption. Default 30 s.
	Grace Duration `json:"grace,omitempty" yaml:"grace,omitempty"`
	// Slurm is what a Slurm cluster is asked for beyond resources.
	Slurm *Slurm `json:"slurm,omitempty" yaml:"slurm,omitempty"`
	// Restart says which ends of an attempt are followed by another attempt.
	Restart Restart `json:"restart" yaml:"restart,omitempty"`
}

// EnvironmentRef is an environment by name, by file, or inline. YAML: a
// string (a registered name, or a path when it has a slash or ends in .yaml,
// .yml or .json) or a mapping (an environment.Spec).
type EnvironmentRef struct {
	Name string            `json:"name,omitempty" yaml:"-"`
	File string            `json:"file,omitempty" yaml:"-"`
	Spec *environment.Spec `json:"spec,omitempty" yaml:"-"`
}

// Resources that one node of the run needs. In Azure ML: JobResourceConfiguration.
type Resources struct {
	// Nodes the run spans. Default 1.
	Nodes int `json:"nodes" jsonschema:"minimum=1" yaml:"nodes,omitempty"`
	// CPUs a node. Default 1. Fractions are allowed.
	CPUs float64 `json:"cpus" jsonschema:"exclusiveMinimum=0" yaml:"cpus,omitempty"`
	// Memory a node. Default: no limit and none reserved.
	Memory Bytes `json:"memory,omitempty" yaml:"memory,omitempty"`
	// GPUs a node. Default 0: none visible.
	GPUs int `json:"gpus" jsonschema:"minimum=0" yaml:"gpus,omitempty"`
}

// VMPriority is Azure ML's word for whether a machine may be taken away.
type VMPriority string

// The two priorities.
const (
	Dedicated   VMPriority = "dedicated"
	LowPriority VMPriority = "lowpriority"
)

// Distributed says how a run's processes find each other. On one machine all
// of them are started by us (those of mpi by mpirun, which the environment must
// have), with MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK, LOCAL_RANK,
// LOCAL_WORLD_SIZE and NODE_RANK, and TF_CONFIG for tensorflow. Every process
// sees all GPUs of its node and picks the one of its LOCAL_RANK. The first that
// fails ends the others.
type Distributed struct {
	// Framework is pytorch, mpi or tensorflow.
	Framework string `json:"framework,omitempty" jsonschema:"required,enum=pytorch,enum=mpi,enum=tensorflow" yaml:"framework,omitempty"`
	// ProcessesPerNode is how many processes each node runs. Default: the GPUs
	// a node, at least 1.
	ProcessesPerNode int `json:"processes_per_node,omitempty" jsonschema:"minimum=1" yaml:"processes_per_node,omitempty"`
}

// Input is data the script reads. Mode is "mount" (the shared copy, or where it
// lies: a container sees it read-only; a plain process is given the path itself
// and could change what is not a shared copy, which nothing prevents without
// privileges) or "copy" (the script's own, which it may change).
type Input struct {
	// Path of a file or directory, relative to the spec; target:/DIR, a path of
	// the machine that carries the run out; run:RUN/outputs/PATH, what another
	// run left; an https:// address; or a place in Azure Blob Storage:
	// azblob://ACCOUNT/CONTAINER/PATH, or as abfss://, wasbs:// or https:// write
	// it.
	Path string `json:"path,omitempty" jsonschema:"required" yaml:"path,omitempty"`
	// SHA256 of a file from an https:// address, in hex: what comes must have it.
	// Without it the server's ETag and size say whether it is still the same.
	SHA256 string `json:"sha256,omitempty" yaml:"sha256,omitempty"`
	// Mode is mount (read-only in a container, but a plain process can write to
	// what is no shared copy) or copy (the script's own). Default mount.
	Mode string `json:"mode,omitempty" jsonschema:"enum=mount,enum=copy" yaml:"mode,omitempty"`
}

// Restart says how many times an attempt that ended this way is followed by
// another. Nil fields: the default (preempted and node_lost 10, others 0).
type Restart struct {
	// Preempted attempts and those whose node was lost. Default 10.
	Preempted *int `json:"preempted,omitempty" jsonschema:"minimum=0" yaml:"preempted,omitempty"`
	// Failed scripts, those out of memory and those out of time. Default 0.
	Failed *int `json:"failed,omitempty" jsonschema:"minimum=0" yaml:"failed,omitempty"`
}
