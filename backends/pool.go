package backends

import (
	"context"
	"time"
)

// Pooled is a backend whose target is a pool of nodes that an engine keeps,
// grows and shrinks.
type Pooled interface {
	// Pool says how the nodes are now. The answer may be some seconds old.
	Pool(ctx context.Context) (Pool, error)
}

// Pool is the nodes that a target's runs can be given. The words are Azure's.
type Pool struct {
	// MinNodes are always there, MaxNodes is how many there can be.
	MinNodes int `json:"min_nodes"`
	MaxNodes int `json:"max_nodes"`
	// VMSize is what its nodes are, in the engine's words; several kinds have
	// "; " between them. Empty: the engine does not tell.
	VMSize string `json:"vm_size"`
	// VMPriority of runs that say nothing: "dedicated", or "lowpriority" where
	// the engine may take their nodes for others.
	VMPriority string `json:"vm_priority"`
	// IdleSeconds is how long a node may be idle before the engine takes it away;
	// nil: it takes none.
	IdleSeconds *int `json:"idle_seconds_before_scaledown"`
	// Nodes that are there, come or go, by name. One that the engine could make
	// and has not is none of them.
	Nodes []PoolNode `json:"nodes"`
}

// PoolNode is a node of a pool.
type PoolNode struct {
	Name   string    `json:"name"`
	State  NodeState `json:"state"`
	VMSize string    `json:"vm_size"`
	// EngineState is the engine's own word for its state, "MIXED+DRAIN".
	EngineState string `json:"engine_state"`
	// Reason of its state in words, the engine's own where it has some.
	Reason string `json:"reason,omitempty"`
	// Since is when the engine's reason was given; nil: it does not tell.
	Since *time.Time `json:"since,omitempty"`
	// Runs of ours that have the node, or part of it. A node can be running for
	// others alone.
	Runs []string `json:"runs"`
}

// NodeState is how it stands with a node: a closed list.
type NodeState string

// The states of a node.
const (
	// NodeIdle could be given to a run.
	NodeIdle NodeState = "idle"
	// NodeRunning has runs, of ours or of others.
	NodeRunning NodeState = "running"
	// NodePreparing is being started.
	NodePreparing NodeState = "preparing"
	// NodeUnusable takes no run until somebody mends it or gives it free.
	NodeUnusable NodeState = "unusable"
	// NodeLeaving takes no further run, and goes when it has none.
	NodeLeaving NodeState = "leaving"
	// NodePreempted was taken by whoever lent it.
	NodePreempted NodeState = "preempted"
)

// NodeStates are all, in the order in which they are told.
func NodeStates() []NodeState {
	return []NodeState{NodeIdle, NodeRunning, NodePreparing, NodeLeaving, NodePreempted, NodeUnusable}
}
