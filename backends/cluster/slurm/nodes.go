package slurm

import (
	"path"
	"strconv"

	"github.com/runnerml/runner/internal/ranks"
)

// Nodes has srun start a command once on each node of a job, and kill all of
// them when one does not come to its end: launchers end well, also when what
// they launched did not. The step has all that the job was given.
func (e *Engine) Nodes(count int) ranks.Nodes {
	n := strconv.Itoa(count)
	return ranks.Nodes{
		Starter: []string{
			path.Join(e.options.Bin, "srun"), "--nodes=" + n, "--ntasks=" + n, "--ntasks-per-node=1", "--export=ALL", "--kill-on-bad-exit=1",
			"--quiet", "--mpi=none", "--unbuffered", "--input=none", "--wait=0",
		},
		Names:     []string{path.Join(e.options.Bin, "scontrol"), "show", "hostnames"},
		Terminate: []string{path.Join(e.options.Bin, "scancel"), "--signal=" + strconv.Itoa(int(ranks.TellSignal))}, JobIn: "SLURM_JOB_ID",
		NumberIn: "SLURM_NODEID", NameIn: "SLURMD_NODENAME", FirstIn: "SLURM_LAUNCH_NODE_IPADDR",
	}
}
