package runconfig

import (
	"fmt"
	"slices"
	"strings"
)

// Slurm is what a Slurm cluster is asked for beyond resources. The target has
// its own of these; what the spec says wins, field by field.
type Slurm struct {
	// Partition to run in. Default: the target's, or else the cluster's.
	Partition string `json:"partition,omitempty" yaml:"partition,omitempty"`
	// Account that is charged.
	Account string `json:"account,omitempty" yaml:"account,omitempty"`
	// QOS is the quality of service.
	QOS string `json:"qos,omitempty" yaml:"qos,omitempty"`
	// Constraint names features that nodes must have.
	Constraint string `json:"constraint,omitempty" yaml:"constraint,omitempty"`
	// Reservation to run in.
	Reservation string `json:"reservation,omitempty" yaml:"reservation,omitempty"`
	// GRES are generic resources a node. Default: gpu:N for resources.gpus.
	GRES string `json:"gres,omitempty" yaml:"gres,omitempty"`
	// Exclusive: the nodes are shared with nobody.
	Exclusive bool `json:"exclusive,omitempty" yaml:"exclusive,omitempty"`
	// TimeLimit that Slurm keeps. Default: somewhat more than
	// max_run_duration, or else the partition's.
	TimeLimit Duration `json:"time_limit,omitempty" yaml:"time_limit,omitempty"`
	// Licenses of the cluster, for example matlab:1.
	Licenses string `json:"licenses,omitempty" yaml:"licenses,omitempty"`
	// Setup are lines of shell that run on the first node before the script,
	// for example module load cuda.
	Setup string `json:"setup,omitempty" yaml:"setup,omitempty"`
	// Arguments are further options of sbatch, each as one word.
	Arguments []string `json:"arguments,omitempty" yaml:"arguments,omitempty"`
}

// Over is s with what is missing taken from under.
func (s Slurm) Over(under Slurm) Slurm {
	for _, f := range []struct{ to, from *string }{
		{&s.Partition, &under.Partition},
		{&s.Account, &under.Account},
		{&s.QOS, &under.QOS},
		{&s.Constraint, &under.Constraint},
		{&s.Reservation, &under.Reservation},
		{&s.GRES, &under.GRES},
		{&s.Licenses, &under.Licenses},
		{&s.Setup, &under.Setup},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	s.Exclusive = s.Exclusive || under.Exclusive
	if s.TimeLimit == 0 {
		s.TimeLimit = under.TimeLimit
	}
	s.Arguments = append(slices.Clone(under.Arguments), s.Arguments...)
	return s
}

// oursInSlurm are the options of sbatch that decide what becomes of a run, and
// so are Runner's.
func oursInSlurm() map[string]string {
	const never = "Runner decides that"
	return map[string]string{
		"--job-name": never, "-J": never, "--comment": never, "--requeue": "runs are restarted by Runner: restart.preempted", "--no-requeue": never,
		"--export": "environment_variables: sets variables", "--export-file": "environment_variables: sets variables",
		"--output": never, "-o": never, "--error": never, "-e": never, "--open-mode": never, "--input": never, "-i": never,
		"--chdir": never, "-D": never, "--signal": "grace: is the time that a script has", "--wrap": never,
		"--array": never, "-a": never, "--wait": never, "-W": never, "--parsable": never, "--test-only": never, "--hold": "hold it in Slurm: scontrol hold", "-H": never,
		"--nodes": "resources.nodes", "-N": "resources.nodes", "--ntasks": "distributed.processes_per_node", "-n": "distributed.processes_per_node",
		"--ntasks-per-node": "distributed.processes_per_node", "--cpus-per-task": "resources.cpus", "-c": "resources.cpus",
		"--mem": "resources.memory", "--time": "slurm.time_limit", "-t": "slurm.time_limit",
		"--partition": "slurm.partition", "-p": "slurm.partition", "--account": "slurm.account", "-A": "slurm.account",
		"--qos": "slurm.qos", "-q": "slurm.qos", "--gres": "slurm.gres", "--constraint": "slurm.constraint", "-C": "slurm.constraint",
		"--reservation": "slurm.reservation", "--licenses": "slurm.licenses", "-L": "slurm.licenses", "--exclusive": "slurm.exclusive",
	}
}

// Problem says what is wrong with s, and what to do; where is the field's name
// within it. Empty: nothing is.
func (s Slurm) Problem() (where, what, hint string) {
	for name, value := range map[string]string{
		"partition": s.Partition, "account": s.Account, "qos": s.QOS, "constraint": s.Constraint, "reservation": s.Reservation,
		"gres": s.GRES, "licenses": s.Licenses,
	} {
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return name, fmt.Sprintf("%q is no %s of Slurm", value, name), "it holds no blanks"
		}
	}
	if s.TimeLimit < 0 {
		return "time_limit", "time_limit must not be negative", "leave it out for the partition's"
	}
	if strings.ContainsRune(s.Setup, 0) {
		return "setup", "setup holds a NUL byte", ""
	}
	ours := oursInSlurm()
	for i, a := range s.Arguments {
		where := fmt.Sprintf("arguments[%d]", i)
		name, _, _ := strings.Cut(a, "=")
		if len(name) > 2 && name[0] == '-' && name[1] != '-' {
			name = name[:2] // a short one with its value: -Jname
		}
		instead, taken := ours[name]
		switch {
		case !strings.HasPrefix(a, "-") || a == "-" || a == "--":
			return where, fmt.Sprintf("%q is no option of sbatch", a), "write option and value as one word: --nice=100"
		case strings.ContainsAny(a, "\x00\n"):
			return where, "an argument holds a NUL byte or a line end", ""
		case taken:
			return where, fmt.Sprintf("%s cannot be given to sbatch", name), instead
		}
	}
	return "", "", ""
}
