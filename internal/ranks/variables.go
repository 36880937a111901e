package ranks

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
)

// here is where the processes of one node find each other.
const here = "127.0.0.1"

// freePorts are TCP ports that nobody listens on, each another. All are held
// until the last is found.
func freePorts(count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(here, "0"))
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // nobody was accepted
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// meeting is where and how the processes meet.
type meeting struct {
	// processes on this node, and before it on those with lower numbers.
	processes, before int
	// local is the first one's rank on this node.
	local int
	// world is how many there are on all nodes.
	world, node int
	// address and port of the first.
	address string
	master  int
	workers []string // addresses of all, for TensorFlow
}

func (c Config) meeting() (meeting, error) {
	count := 1
	if c.Framework == TensorFlow {
		count += c.Processes
	}
	ports, err := freePorts(count)
	if err != nil {
		return meeting{}, err
	}
	m := meeting{processes: c.Processes, world: c.Processes, address: here, master: ports[0]}
	for _, port := range ports[1:] {
		m.workers = append(m.workers, net.JoinHostPort(here, strconv.Itoa(port)))
	}
	return m, nil
}

// meeting of all nodes, as it is on this one.
func (n *onNode) meeting(c Config) meeting {
	m := meeting{
		processes: c.Processes, before: n.number * c.Processes, world: n.count * c.Processes, node: n.number, address: n.first, master: n.master,
	}
	if c.Framework == TensorFlow {
		for rank := range m.world {
			name := strconv.Itoa(rank / c.Processes)
			if i := rank / c.Processes; i < len(n.names) {
				name = n.names[i]
			}
			m.workers = append(m.workers, net.JoinHostPort(name, strconv.Itoa(n.base+rank)))
		}
	}
	if n.perNode > 0 { // MPI starts each process by itself, a node's one after the other
		m.node, m.before, m.world = n.number/n.perNode, n.number, n.count
		m.local, m.processes = n.number%n.perNode, n.perNode
	}
	return m
}

// variables that one process is given, by its rank on this node.
func (m meeting) variables(local int) []string {
	env := []string{
		"MASTER_ADDR=" + m.address, "MASTER_PORT=" + strconv.Itoa(m.master), "WORLD_SIZE=" + strconv.Itoa(m.world),
		"RANK=" + strconv.Itoa(m.before+local), "LOCAL_RANK=" + strconv.Itoa(m.local+local), "LOCAL_WORLD_SIZE=" + strconv.Itoa(m.processes),
		"NODE_RANK=" + strconv.Itoa(m.node),
	}
	if len(m.workers) == 0 {
		return env
	}
	return append(env, "TF_CONFIG="+m.tensorFlow(m.before+local))
}

// tfConfig is TensorFlow's own form.
type tfConfig struct {
	Cluster struct {
		Worker []string `json:"worker"`
	} `json:"cluster"`
	Task struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	} `json:"task"`
}

func (m meeting) tensorFlow(rank int) string {
	var t tfConfig
	t.Cluster.Worker = m.workers
	t.Task.Type, t.Task.Index = "worker", rank
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(text)
}
