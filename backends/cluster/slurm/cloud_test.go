package slurm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// Slurm makes nodes when runs need them, and gives them up: a run whose node is
// being made waits, says so and is not lost; the node is preparing, then
// running, then leaving, then gone.
func TestCloudNodes(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{Cloud: 2})
	release := l.slurm.HoldCloud()
	one := l.trial(t, "echo begun", onNode("cloud1"))
	four := l.trial(t, "echo begun; hostname", func(c *runconfig.ScriptRunConfig) {
		onNode("cloud2,n1")(c)
		c.Resources.Nodes = 2
	})
	before := one.pool("nothing is made", func(n map[string]backends.PoolNode) bool { return len(n) == 4 })
	if before.MinNodes != 4 || before.MaxNodes != 6 || before.IdleSeconds == nil || *before.IdleSeconds != 3 {
		t.Errorf("the pool is %+v", before)
	}
	oneRef, fourRef := one.begin(), four.begin()
	waits := func(c *trial, ref backends.Ref, why string) {
		c.Helper()
		c.seen(ref, "it waits for "+why, func(o backends.Observation) bool {
			if o.Phase != backends.Pending {
				c.Fatalf("it does not wait: %+v", o)
			}
			return o.Reason == why
		})
	}
	waits(one, oneRef, "node cloud1 is being started by Slurm (CONFIGURING)")
	waits(four, fourRef, "waits until Slurm has started all of its nodes cloud2,n1 (CONFIGURING)")
	one.pool("its node is being made", func(n map[string]backends.PoolNode) bool {
		return n["cloud1"].State == backends.NodePreparing && slices.Equal(n["cloud1"].Runs, []string{one.a.Run}) &&
			n["cloud2"].State == backends.NodePreparing && slices.Contains(n["n1"].Runs, four.a.Run)
	})
	release()
	for _, c := range []struct {
		*trial
		ref backends.Ref
	}{{one, oneRef}, {four, fourRef}} {
		o := c.seen(c.ref, "it ended", func(o backends.Observation) bool {
			if o.Phase == backends.Pending && strings.Contains(o.Reason, "waits for free nodes") {
				c.Errorf("it was sent back: %+v", o)
			}
			return o.Phase == backends.Ended
		})
		c.expect(o, run.OutcomeCompleted, "")
	}
	one.pool("its node leaves", func(n map[string]backends.PoolNode) bool { return n["cloud1"].State == backends.NodeLeaving })
	after := one.pool("all that was made is gone", func(n map[string]backends.PoolNode) bool { return len(n) == 4 })
	if after.MaxNodes != 6 {
		t.Errorf("the pool is %+v", after)
	}
}

// A node that does not come is a lost node, and its run goes on elsewhere.
func TestCloudNodeThatDoesNotCome(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{Cloud: 2, ResumeTimeout: 5, Conf: "PrivateData=cloud"}) // it tells of nodes that are switched off, too
	defer l.slurm.HoldCloud()()
	c := l.trial(t, "echo begun", onNode("cloud1"))
	ref := c.begin()
	c.expect(c.ended(ref), run.OutcomeNodeLost, "NODE_FAIL")
	p := c.pool("its node is unusable", func(n map[string]backends.PoolNode) bool { return n["cloud1"].State == backends.NodeUnusable })
	if len(p.Nodes) != 5 || p.MaxNodes != 6 {
		t.Errorf("the pool is %+v", p)
	}
	i := slices.IndexFunc(p.Nodes, func(n backends.PoolNode) bool { return n.Name == "cloud1" })
	if n := p.Nodes[i]; !strings.Contains(n.Reason, "ResumeTimeout reached") {
		t.Errorf("%+v", n)
	}
}
