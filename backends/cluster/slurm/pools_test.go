package slurm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// pool waits until the nodes are as somebody wants them.
func (c *trial) pool(what string, fits func(map[string]backends.PoolNode) bool) backends.Pool {
	c.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last backends.Pool
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		pool, err := c.b.Pool(c.Context())
		c.ok(err)
		nodes := map[string]backends.PoolNode{}
		for _, n := range pool.Nodes {
			nodes[n.Name] = n
		}
		if last = pool; fits(nodes) {
			return pool
		}
	}
	c.Fatalf("waited in vain until %s; last: %+v", what, last)
	return last
}

// The nodes are what Slurm says of them, with the runs that have them; however
// many look, Slurm is asked once in a while.
func TestPool(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	c := l.trial(t, "echo begun; sleep 600", func(c *runconfig.ScriptRunConfig) {
		onNode("n[1-2]")(c)
		c.Resources.Nodes = 2
	})
	ref := c.begin()
	c.begun(ref)
	l.slurm.Run("sbatch", "--parsable", "--nodelist=n3", "--output=/dev/null", "--wrap=sleep 600")
	l.slurm.Run("scontrol", "update", "nodename=n4", "state=drain", "reason=bad disk")
	p := c.pool("all is as it is", func(n map[string]backends.PoolNode) bool {
		return n["n3"].State == backends.NodeRunning && n["n4"].State == backends.NodeUnusable && len(n["n2"].Runs) == 1
	})
	if p.MinNodes != 4 || p.MaxNodes != 4 || p.VMSize != "4 CPUs, 2000 MiB, gpu:2" || p.VMPriority != "dedicated" || p.IdleSeconds != nil || len(p.Nodes) != 4 {
		t.Errorf("%+v", p)
	}
	for i, ours := range []bool{true, true, false, false} {
		n := p.Nodes[i]
		if (len(n.Runs) == 1 && n.Runs[0] == c.a.Run) != ours || n.Runs == nil || ours && n.State != backends.NodeRunning {
			t.Errorf("%+v", n)
		}
	}
	if n := p.Nodes[3]; n.Reason != "bad disk" || n.Since == nil || time.Since(*n.Since).Abs() > time.Hour || n.EngineState != "IDLE+DRAIN" {
		t.Errorf("%+v", n)
	}
	questions := func() (n int) {
		for _, call := range l.slurm.Calls() {
			if strings.HasPrefix(call, "scontrol show config") || strings.HasPrefix(call, "squeue") {
				n++
			}
		}
		return n
	}
	before, began := questions(), time.Now()
	for range 200 {
		if _, err := c.b.Pool(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, most := questions()-before, 2*(int(time.Since(began)/(100*time.Millisecond))+2); n > most {
		t.Errorf("%d questions for 200 looks, %d are allowed", n, most)
	}
	c.ok(c.b.Release(t.Context(), ref))
	l.slurm.StopController()
	for {
		if _, err := c.b.Pool(t.Context()); err != nil { // what was known a moment ago is told for a moment
			if !backends.IsTemporary(err) || !strings.Contains(err.Error(), "the Slurm controller does not answer") {
				t.Error(err)
			}
			break
		}
	}
	l.slurm.StartController()
}
