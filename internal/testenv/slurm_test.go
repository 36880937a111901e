package testenv

import (
	"strings"
	"testing"
)

// A job runs, a node dies and comes back, the controller is restarted.
func TestSlurm(t *testing.T) {
	c := Slurm(t, SlurmOptions{})
	if said := c.Run("srun", "--nodes=4", "--ntasks-per-node=1", "printenv", "SLURMD_NODENAME"); len(strings.Fields(said)) != 4 {
		t.Errorf("srun on all nodes says %q", said)
	}
	id := c.Run("sbatch", "--parsable", "--no-requeue", "--nodelist=n2", "--output=/dev/null", "--wrap=sleep 100")
	state := func(want string) func(string) bool { return func(s string) bool { return s == want } }
	c.Eventually(state("RUNNING"), "squeue", "--noheader", "--states=all", "--jobs="+id, "--format=%T")
	c.KillNode("n2")
	c.Eventually(state("NODE_FAIL"), "squeue", "--noheader", "--states=all", "--jobs="+id, "--format=%T")
	c.StartNode("n2")
	c.StopController()
	c.StartController()
	c.Eventually(state("idle"), "sinfo", "--noheader", "--nodes=n2", "--partition=normal", "--format=%T")
}
