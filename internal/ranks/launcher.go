package ranks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// maxGrace is the longest that a failed run waits for its other processes:
// they wait for the one that failed, and GPUs with them.
const maxGrace = 10 * time.Second

// The exit codes that a shell gives for a program that cannot be started.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

func codeOf(err error) int {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return codeNotFound
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return codeNotExecutable
	default:
		return codeFailed
	}
}

// passedOn are the signals that go on to all processes.
func passedOn() []os.Signal {
	return []os.Signal{
		syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	}
}

// process is one that we started; it leads a process group.
type process struct {
	name string
	cmd  *exec.Cmd
	gone bool
	rank int
	// out is what it writes; nil: that is not read by us.
	out *lines
}

// signal reaches the process and what it started in its group.
func (p *process) signal(sig syscall.Signal) {
	if !p.gone {
		_ = syscall.Kill(-p.cmd.Process.Pid, sig) // ESRCH: gone
	}
}

// ending is the end of one process.
type ending struct {
	process *process
	status  syscall.WaitStatus
}

// launcher is one run of a Config.
type launcher struct {
	config    Config
	out       *together
	processes []*process
	ended     chan ending
	signals   chan os.Signal
	pipes     []*os.File
	temporary string  // directory of named pipes, or empty
	failed    *ending // the first that failed by itself
	others    int     // that lived then
	told      bool    // somebody else ends them
	first     *ending // the first that did not end well
	carrying  sync.WaitGroup
	node      *nodeEnd // where this is one of several nodes
	// finishing is closed when no process is started any more, and reaped when
	// all have ended then.
	finishing, reaped chan struct{}
}

// run starts the processes and waits for them. The answer is how the first
// ended that failed, else an exit with 0.
func (c Config) run(out io.Writer) (syscall.WaitStatus, error) {
	runtime.LockOSThread() // they die with the thread that started them
	defer runtime.UnlockOSThread()
	if c.on != nil {
		var done func()
		out, done = c.on.log(out)
		defer done()
	}
	l := &launcher{
		config: c, out: &together{out: out}, signals: make(chan os.Signal, 16), ended: make(chan ending, c.Processes),
		finishing: make(chan struct{}), reaped: make(chan struct{}),
	}
	// Handlers, unlike "ignore", are not inherited.
	signal.Notify(l.signals, passedOn()...)
	if c.on != nil {
		signal.Notify(l.signals, TellSignal)
		becomeReaper()
		l.node = &nodeEnd{on: c.on, mpi: c.Framework == MPI, grace: c.Grace}
	}
	defer signal.Stop(l.signals)
	err := l.start()
	if err != nil {
		l.killAll()
	}
	go l.reap()
	if err != nil {
		l.finish()
		return 0, err
	}
	status := l.wait()
	l.finish()
	if l.node != nil && l.node.written && !l.node.mpi {
		return 0, nil // the head knows, and the engine's starter would kill the others at once
	}
	return status, nil
}

// reapStep is how often reap looks again when there is no child just now.
const reapStep = 20 * time.Millisecond

// reap takes the exit status of every child that ended, also of those that were
// left to us, until there is none and none will come.
func (l *launcher) reap() {
	defer close(l.reaped)
	step := time.NewTicker(reapStep)
	defer step.Stop()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // ECHILD
			select {
			case <-l.finishing:
				return
			default:
				<-step.C
			}
		case !status.Exited() && !status.Signaled():
		default:
			if i := slices.IndexFunc(l.processes, func(p *process) bool { return p.cmd.Process.Pid == pid }); i >= 0 {
				l.ended <- ending{l.processes[i], status}
			} else if l.node != nil {
				l.node.helperEnded(pid)
			}
		}
	}
}

func (l *launcher) start() error {
	var m meeting
	var err error
	if on := l.config.on; on != nil {
		m = on.meeting(l.config)
	} else if m, err = l.config.meeting(); err != nil {
		return err
	}
	if l.config.Framework == MPI && l.config.on == nil {
		return l.startMPI(m)
	}
	for rank := range l.config.Processes {
		if err := l.startRank(rank, m); err != nil {
			return fmt.Errorf("rank %d: %w", rank, err)
		}
	}
	return nil
}

func (l *launcher) startRank(rank int, m meeting) error {
	cmd := exec.Command(l.config.Argv[0], l.config.Argv[1:]...)
	cmd.Env = append(os.Environ(), m.variables(rank)...)
	if l.config.Processes == 1 && l.config.on == nil {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // byte for byte
		return l.begin(process{rank: rank}, cmd)
	}
	rank += m.before
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // the process has its own
	cmd.Stdout, cmd.Stderr = w, w
	return l.begin(process{rank: rank, out: l.carry(rankPrefix(rank), r)}, cmd)
}

func rankPrefix(rank int) string { return fmt.Sprintf("[rank %d] ", rank) }

// carry passes on what comes from a pipe, and closes it in the end.
func (l *launcher) carry(prefix string, from *os.File) *lines {
	to := &lines{prefix: prefix, to: l.out, hide: supervise.NewFilter(l.secrets()), from: from, done: make(chan struct{})}
	l.pipes = append(l.pipes, from)
	l.carrying.Go(func() {
		defer close(to.done)
		to.carry(from)
	})
	return to
}

func (l *launcher) secrets() []string {
	var values []string
	for _, name := range l.config.Secrets {
		if v := os.Getenv(name); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// begin starts a process; reap waits for its end.
func (l *launcher) begin(p process, cmd *exec.Cmd) error {
	cmd.Stdin, cmd.SysProcAttr = os.Stdin, childAttr()
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd = cmd
	if p.name == "" {
		p.name = fmt.Sprintf("rank %d", p.rank)
	}
	l.processes = append(l.processes, &p)
	return nil
}

// wait waits until all have ended, and ends them when one failed.
func (l *launcher) wait() syscall.WaitStatus {
	kill := time.NewTimer(time.Hour)
	kill.Stop()
	defer kill.Stop()
	for left := len(l.processes); left > 0; {
		select {
		case e := <-l.ended:
			left--
			e.process.gone = true
			if l.first != nil || e.status == 0 {
				continue
			}
			l.first = &e
			if l.told {
				continue
			}
			l.failed, l.others = &e, left
			l.askAll()
			kill.Reset(min(l.config.Grace, maxGrace))
			if l.node != nil {
				l.node.tellOthers(l.failed)
			}
		case sig := <-l.signals:
			l.take(sig, kill)
		case <-kill.C:
			if l.node != nil && l.told {
				if more := l.node.patience(time.Now()); more > 0 {
					kill.Reset(min(more, time.Second)) // another may have failed meanwhile
					continue
				}
			}
			l.killAll()
			kill.Reset(time.Second) // what they started meanwhile
		}
	}
	if l.first == nil {
		return 0 // an exit with 0
	}
	return l.first.status
}

// take passes a signal on. On one of several nodes all are told once to end,
// however often and by whom, and killed by us: nobody above knows them.
func (l *launcher) take(sig os.Signal, kill *time.Timer) {
	number, ok := sig.(syscall.Signal)
	switch {
	case !ok:
	case number != TellSignal && number != syscall.SIGTERM:
		l.signalAll(number)
	case l.node == nil:
		l.told = true
		l.askAll()
	case !l.told && l.failed == nil:
		l.told = true
		l.node.toldAt = time.Now()
		l.askAll()
		kill.Reset(min(l.node.patience(l.node.toldAt), time.Second))
	}
}

// askAll tells all to end. What is stopped could not hear that.
func (l *launcher) askAll() {
	l.signalAll(syscall.SIGTERM)
	l.signalAll(syscall.SIGCONT)
}

func (l *launcher) signalAll(sig syscall.Signal) {
	for _, p := range l.processes {
		p.signal(sig)
	}
}

func (l *launcher) killAll() { l.signalAll(syscall.SIGKILL) }

// say is the last line: who failed, and what became of the others. Of several
// nodes the head says it.
func (l *launcher) say() {
	if l.failed == nil || l.node != nil {
		return
	}
	text := "runner: " + l.failed.process.name + " " + howEnded(l.failed.status)
	switch {
	case l.others == 1:
		text += "; the other one was ended"
	case l.others > 1:
		text += fmt.Sprintf("; the other %d were ended", l.others)
	}
	l.out.write([]byte(text + "\n"))
}

func howEnded(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("was ended by %s (exit code %d)", signalName(s.Signal()), 128+int(s.Signal()))
	}
	return fmt.Sprintf("ended with exit code %d", s.ExitStatus())
}

// finish waits until all that was written is passed on, and until nothing is
// left of what ran on one of several nodes.
func (l *launcher) finish() {
	if l.node != nil {
		l.node.awaitTold()
	}
	close(l.finishing)
	if l.node != nil {
		l.node.clear(l.reaped)
	}
	for _, p := range l.pipes {
		stop(p)
	}
	l.carrying.Wait()
	for _, p := range l.pipes {
		_ = p.Close() // only read
	}
	if l.temporary != "" {
		_ = os.RemoveAll(l.temporary) // empty pipes
	}
	if l.node != nil && l.told && l.first != nil {
		l.node.tellEnd(l.first)
	}
	l.say()
}
