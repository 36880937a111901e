package ranks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// Over several nodes a head on the first one has the batch engine start one
// launcher a node, which starts the processes there:
//
//	supervisor -> runner ranks (head) -> srun -> runner ranks --node-of ... on each node -> the processes
//
// What they write comes back through the engine's starter and is the one log,
// with the rank before each line; each launcher also keeps its node's. The
// first process that fails is written down in Nodes.Dir, which all nodes see,
// and its launcher has those on the other nodes told, as the head does when it
// finds what was written. Each of them ends its own with their grace, and
// itself well: the engine's starter kills the others at once only when a
// launcher did not come so far.

// Nodes is what a run over several nodes needs. Zero: there is one.
type Nodes struct {
	// Count of nodes.
	Count int
	// Dir is a directory of the run's own that all nodes see.
	Dir string
	// Logs is where each node's log is kept, on a file system that all see.
	Logs string
	// Starter is the command line before a command that is to run once on each
	// node. It kills all of them when one does not end with 0.
	Starter []string
	// Terminate is a command that sends TellSignal to all that Starter started;
	// the value of the variable JobIn comes behind it. Starter itself would kill
	// them.
	Terminate []string
	JobIn     string
	// Names is a command that prints the names of all nodes, a line each.
	Names []string
	// NumberIn, NameIn and FirstIn are the variables in which a command that
	// Starter started finds its node's number from 0, its node's name, and the
	// address of the first.
	NumberIn, NameIn, FirstIn string
}

// TellSignal has a launcher on one of several nodes send SIGTERM to its
// processes. An engine signals every process on a node, one after the other: a
// script would see what it waits for die before it is told itself, and be told
// twice. This one nobody minds but the launchers.
const TellSignal = syscall.SIGWINCH

// FailedFile in Nodes.Dir tells of the first process that failed, EndedFile of the
// first that did not end well after it was told to end.
const (
	FailedFile = "failed.json"
	EndedFile  = "ended.json"
)

// Failed is what these files hold.
type Failed struct {
	Rank int    `json:"rank"`
	Node string `json:"node"`
	// How in words: "ended with exit code 3".
	How string `json:"how"`
	// Code as a shell gives it; Signal when that ended it.
	Code   int `json:"code"`
	Signal int `json:"signal,omitempty"`
	// Lines are the last that it wrote.
	Lines []string `json:"lines,omitempty"`
}

// Words tell of it in a line, and its last lines.
func (f Failed) Words() string {
	text := fmt.Sprintf("rank %d on %s %s", f.Rank, f.Node, f.How)
	if len(f.Lines) > 0 {
		text += ": " + strings.Join(f.Lines, "\n")
	}
	return text
}

const (
	// firstPort and ports are where the processes of TensorFlow listen: nobody
	// can look for a free one on another node.
	firstPort, ports = 20000, 10000
	// starterPatience is how much longer than the processes' grace the engine's
	// starter may take.
	starterPatience = 20 * time.Second
)

// head has a launcher started on each node, and waits.
func (c Config) head() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(c.Nodes.Dir, 0o700); err != nil {
		return 0, err
	}
	master, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	node := []string{
		self, word, "--master-port", strconv.Itoa(master[0]), "--base-port", strconv.Itoa(firstPort + rand.IntN(ports)),
		"--shared", c.Nodes.Dir, "--logs", c.Nodes.Logs, "--name-in", c.Nodes.NameIn, "--first-in", c.Nodes.FirstIn, "--job-in", c.Nodes.JobIn,
	}
	for _, w := range c.Nodes.Terminate {
		node = append(node, "--terminate-by", w)
	}
	names, err := c.Nodes.names()
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		node = append(node, "--node", name)
	}
	line := append([]string{}, c.Nodes.Starter...)
	each := c
	if c.Framework == MPI {
		all := c.Nodes.Count * c.Processes
		line = append([]string{MPIRun}, mpirunLine("--mca", "odls_base_sigkill_timeout", strconv.Itoa(int(mpiKill.Seconds())))...)
		line = append(line, "-np", strconv.Itoa(all), "--map-by", fmt.Sprintf("ppr:%d:node", c.Processes))
		node = append(node, "--node-of", strconv.Itoa(all), "--per-node", strconv.Itoa(c.Processes), "--number-in", rankVariables()[0])
		each.Processes = 1
	} else {
		node = append(node, "--node-of", strconv.Itoa(c.Nodes.Count), "--number-in", c.Nodes.NumberIn)
	}
	line = append(append(line, node...), each.flags()...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), rootMay()...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = childAttr()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn()...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	status := c.await(cmd, signals)
	f, name, there := c.Nodes.told()
	if !there {
		if status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return status.ExitStatus(), nil
	}
	if name == FailedFile {
		fmt.Printf("runner: rank %d on %s %s; the others were ended\n", f.Rank, f.Node, f.How)
	}
	if f.Signal != 0 {
		supervise.DieBy(syscall.Signal(f.Signal))
	}
	return f.Code, nil
}

// told is what the launchers wrote down, and where.
func (n Nodes) told() (f Failed, name string, there bool) {
	for _, name := range []string{FailedFile, EndedFile} {
		data, err := os.ReadFile(filepath.Join(n.Dir, name))
		if err == nil && json.Unmarshal(data, &f) == nil {
			return f, name, true
		}
	}
	return f, "", false
}

// names are those of all nodes.
func (n Nodes) names() ([]string, error) {
	if len(n.Names) == 0 {
		return nil, nil
	}
	out, err := exec.Command(n.Names[0], n.Names[1:]...).Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the names of the nodes: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// await waits for the starter, passes signals on, and kills it when it does not
// end after a process has failed.
func (c Config) await(cmd *exec.Cmd, signals <-chan os.Signal) syscall.WaitStatus {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its state says it
	}()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var failed time.Time
	for {
		select {
		case <-ended:
			return cmd.ProcessState.Sys().(syscall.WaitStatus)
		case s := <-signals:
			c.tell(cmd.Process.Pid, s)
		case <-look.C:
			if _, err := os.Stat(filepath.Join(c.Nodes.Dir, FailedFile)); err != nil {
				continue
			}
			if failed.IsZero() {
				failed = time.Now()
				if c.Framework != MPI { // whose launcher ends the others
					c.tell(cmd.Process.Pid, syscall.SIGTERM) // who failed may not reach the engine
				}
			}
			if time.Since(failed) > min(c.Grace, maxGrace)+starterPatience {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
		}
	}
}

// tell passes a signal on to all nodes.
func (c Config) tell(starter int, s os.Signal) {
	n := c.Nodes
	if s == syscall.SIGTERM && len(n.Terminate) > 0 && c.Framework != MPI {
		line := append(append([]string{}, n.Terminate...), os.Getenv(n.JobIn))
		err := exec.Command(line[0], line[1:]...).Run()
		if err == nil {
			return
		}
		fmt.Fprintln(os.Stderr, "runner: the nodes could not be told to end:", err)
	}
	if number, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(starter, number)
	}
}

// onNode is what a launcher on one of several nodes knows. For MPI, which
// starts each process by itself, each is such a node, perNode of them on a real
// one.
type onNode struct {
	nodes         Nodes
	number, count int
	perNode       int
	name, first   string
	names         []string
	master, base  int
}

var errWhichNode = errors.New("the batch engine does not say which node this is")

// find fills in what the engine tells in variables.
func (n *onNode) find() (err error) {
	if n.number, err = strconv.Atoi(os.Getenv(n.nodes.NumberIn)); err != nil {
		return fmt.Errorf("%w: %s=%q", errWhichNode, n.nodes.NumberIn, os.Getenv(n.nodes.NumberIn))
	}
	if n.name = os.Getenv(n.nodes.NameIn); n.name == "" {
		n.name = strconv.Itoa(n.number)
	}
	if n.first = os.Getenv(n.nodes.FirstIn); n.first == "" && len(n.names) > 0 {
		n.first = n.names[0]
	}
	return nil
}

// log is the node's own, besides the one that all share.
func (n *onNode) log(to io.Writer) (io.Writer, func()) {
	f, err := os.OpenFile(filepath.Join(n.nodes.Logs, fmt.Sprintf("node-%d.txt", n.number/max(1, n.perNode))), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return to, func() {} // the script made its logs/ something else
	}
	return io.MultiWriter(to, f), func() { _ = f.Close() } // a copy of what the log has
}
