package ranks

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

const (
	// clearing is how much of the grace of a run that is told to end is kept for
	// clearing away: the supervisor on the first node kills at its end, and the
	// engine then what is left. A quarter of a short grace.
	clearing = 2 * time.Second
	// mpiGrace is what mpirun leaves between SIGTERM and SIGKILL (mpiKill), less a
	// moment for clearing away: a launcher that is killed leaves orphans.
	mpiGrace = 1300 * time.Millisecond
	mpiKill  = 2 * time.Second
	// tellPatience is how long the end of a launcher waits until its word has
	// reached the engine. The head says it again.
	tellPatience = 10 * time.Second
	// leftoverPatience is how long what cannot be killed is waited for.
	leftoverPatience = 10 * time.Second
	leftoverStep     = 20 * time.Millisecond
)

// nodeEnd ends what runs on one of several nodes. There is no supervisor there
// and the engine may not know what descends from us, so that we end it all, and
// are not killed before that: our own end is a good one when it is written down
// how the processes ended, and then the engine's starter kills nobody.
type nodeEnd struct {
	on      *onNode
	mpi     bool
	grace   time.Duration
	toldAt  time.Time
	written bool // it is written down how they ended

	mu     sync.Mutex
	helper int // the process that tells the others, or 0
	told   chan struct{}
}

// tellOthers writes down who failed, and has the others told.
func (n *nodeEnd) tellOthers(e *ending) {
	n.written = n.on.tell(n.failed(e), FailedFile)
	if n.mpi || len(n.on.nodes.Terminate) == 0 {
		return // mpirun tells them when we have ended
	}
	line := append(append([]string{}, n.on.nodes.Terminate...), os.Getenv(n.on.nodes.JobIn))
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.Command(line[0], line[1:]...)
	if cmd.Start() == nil { // or the head does it
		n.helper, n.told = cmd.Process.Pid, make(chan struct{})
	}
}

// helperEnded is told of children that are none of the run's processes.
func (n *nodeEnd) helperEnded(pid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if pid == n.helper {
		n.helper = 0
		close(n.told)
	}
}

// tellEnd writes down how a process ended that was told to.
func (n *nodeEnd) tellEnd(e *ending) { n.written = n.on.tell(n.failed(e), EndedFile) }

func (n *nodeEnd) failed(e *ending) Failed {
	f := Failed{Rank: e.process.rank, Node: n.on.name, How: howEnded(e.status), Code: e.status.ExitStatus()}
	if e.status.Signaled() {
		f.Signal, f.Code = int(e.status.Signal()), 128+int(e.status.Signal())
	}
	if e.process.out != nil {
		f.Lines = e.process.out.drained()
	}
	return f
}

// patience is how long processes that were told to end may still take: less
// when they were told because another failed.
func (n *nodeEnd) patience(now time.Time) time.Duration {
	whole := n.grace - min(clearing, n.grace/4)
	if n.mpi {
		whole = min(whole, mpiGrace)
	}
	if _, err := os.Stat(filepath.Join(n.on.nodes.Dir, FailedFile)); err == nil {
		whole = min(whole, maxGrace)
	}
	return n.toldAt.Add(whole).Sub(now)
}

// awaitTold waits until the others are told, or cannot be.
func (n *nodeEnd) awaitTold() {
	n.mu.Lock()
	told := n.told
	n.mu.Unlock()
	if told == nil {
		return
	}
	late := time.NewTimer(tellPatience)
	defer late.Stop()
	select {
	case <-told:
	case <-late.C:
	}
}

// clear kills what is left below us, until reaped says that nothing is.
func (n *nodeEnd) clear(reaped <-chan struct{}) {
	patience := time.NewTimer(leftoverPatience)
	defer patience.Stop()
	step := time.NewTicker(leftoverStep)
	defer step.Stop()
	for {
		for _, pid := range supervise.Descendants(os.Getpid()) {
			if pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // ESRCH: gone
			}
		}
		select {
		case <-reaped:
			return
		case <-step.C:
		case <-patience.C:
			return
		}
	}
}

// tell writes down how a process ended in a file that all nodes see, and says
// whether one did: of several nodes the first.
func (n *onNode) tell(f Failed, name string) bool {
	data, err := json.Marshal(f)
	if err != nil {
		return false
	}
	half := filepath.Join(n.nodes.Dir, name+"-"+strconv.Itoa(n.number))
	if os.WriteFile(half, data, 0o600) != nil {
		return false
	}
	err = os.Link(half, filepath.Join(n.nodes.Dir, name))
	return err == nil || os.IsExist(err)
}
