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
	processes int
	master    int   // port
	workers   []int // ports, for TensorFlow
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
	return meeting{processes: c.Processes, master: ports[0], workers: ports[1:]}, nil
}

// variables that one process is given. On one node its rank there is its rank.
func (m meeting) variables(rank int) []string {
	number := strconv.Itoa(rank)
	size := strconv.Itoa(m.processes)
	env := []string{
		"MASTER_ADDR=" + here, "MASTER_PORT=" + strconv.Itoa(m.master), "WORLD_SIZE=" + size, "RANK=" + number,
		"LOCAL_RANK=" + number, "LOCAL_WORLD_SIZE=" + size, "NODE_RANK=0",
	}
	if len(m.workers) == 0 {
		return env
	}
	return append(env, "TF_CONFIG="+m.tensorFlow(rank))
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
	for _, port := range m.workers {
		t.Cluster.Worker = append(t.Cluster.Worker, net.JoinHostPort(here, strconv.Itoa(port)))
	}
	t.Task.Type, t.Task.Index = "worker", rank
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(text)
}
