package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
)

func TestFoldNames(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"n1"}, "n1"},
		{[]string{"n1", "n10", "n2", "n3", "n7"}, "n[1-3,7,10]"},
		{[]string{"gpu-08", "gpu-09", "gpu-10", "login"}, "gpu-[08-10],login"},
		{[]string{"12", "13"}, "[12-13]"},
		{[]string{"n99999999999999999999", "n1"}, "n99999999999999999999,n1"},
	} {
		if d := cmp.Diff(c.want, foldNames(c.names)); d != "" {
			t.Error(d)
		}
	}
}

// Nodes of which the same is to be told have one line.
func TestNodeTable(t *testing.T) {
	idle := 300
	node := func(name string, state backends.NodeState, engine, reason string, runs ...string) backends.PoolNode {
		return backends.PoolNode{Name: name, State: state, EngineState: engine, Reason: reason, Runs: runs, VMSize: "small"}
	}
	p := &backends.Pool{MinNodes: 2, MaxNodes: 8, VMSize: "small", VMPriority: "dedicated", IdleSeconds: &idle, Nodes: []backends.PoolNode{
		node("n1", backends.NodeIdle, "IDLE", ""),
		node("n2", backends.NodeIdle, "IDLE", ""),
		node("n3", backends.NodeRunning, "MIXED", "", "iris-1", "iris-2"),
		node("n4", backends.NodeUnusable, "IDLE+DRAIN", "bad\x1b[31m disk"),
	}}
	want := `
NODE    STATE     RUN             ENGINE      REASON
n[1-2]  idle      -               IDLE        -
n3      running   iris-1, iris-2  MIXED       -
n4      unusable  -               IDLE+DRAIN  bad?[31m disk
`
	c := &cli{out: &screen{}}
	if d := cmp.Diff(want, c.nodeTable(p)); d != "" {
		t.Error(d)
	}
	rows := [][2]string{
		{"nodes", "4 of 2 to 8: 2 idle, 1 running, 1 unusable"},
		{"vm size", "small"},
		{"vm priority", "dedicated"},
		{"scaled down", "after 300 s without a run"},
	}
	if d := cmp.Diff(rows, poolRows(p)); d != "" {
		t.Error(d)
	}
}
