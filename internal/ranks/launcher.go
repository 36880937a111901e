package ranks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
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
	carrying  sync.WaitGroup
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
	}
	// Handlers, unlike "ignore", are not inherited.
	signal.Notify(l.signals, passedOn()...)
	if c.on != nil {
		signal.Notify(l.signals, TellSignal)
	}
	defer signal.Stop(l.signals)
	if err := l.start(); err != nil {
		l.killAll()
		l.finish()
		return 0, err
	}
	status := l.wait()
	l.finish()
	return status, nil
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
	to := &lines{prefix: prefix, to: l.out, hide: supervise.NewFilter(l.secrets())}
	l.pipes = append(l.pipes, from)
	l.carrying.Go(func() { to.carry(from) })
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

// begin starts a process and waits for its end elsewhere.
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
	go func() {
		_ = cmd.Wait() // its state says it
		l.ended <- ending{&p, cmd.ProcessState.Sys().(syscall.WaitStatus)}
	}()
	return nil
}

// wait waits until all have ended, and ends them when one failed.
func (l *launcher) wait() syscall.WaitStatus {
	var first syscall.WaitStatus // 0: an exit with 0
	told := false                // somebody else ends them
	var kill <-chan time.Time
	for left := len(l.processes); left > 0; {
		select {
		case e := <-l.ended:
			left--
			e.process.gone = true
			if first != 0 || e.status == 0 {
				continue
			}
			first = e.status
			if told {
				continue
			}
			l.failed, l.others = &e, left
			l.signalAll(syscall.SIGTERM)
			l.signalAll(syscall.SIGCONT) // what is stopped could not hear it
			if left > 0 {
				t := time.NewTimer(min(l.config.Grace, maxGrace))
				defer t.Stop()
				kill = t.C
			}
		case sig := <-l.signals:
			number, ok := sig.(syscall.Signal)
			if !ok {
				continue
			}
			if number == TellSignal {
				number = syscall.SIGTERM
			}
			l.signalAll(number)
			if number == syscall.SIGTERM {
				told = true
				l.signalAll(syscall.SIGCONT)
			}
		case <-kill:
			l.killAll()
		}
	}
	return first
}

func (l *launcher) signalAll(sig syscall.Signal) {
	for _, p := range l.processes {
		p.signal(sig)
	}
}

func (l *launcher) killAll() { l.signalAll(syscall.SIGKILL) }

// say is the last line: who failed, and what became of the others.
func (l *launcher) say() {
	if l.failed == nil {
		return
	}
	if on := l.config.on; on != nil { // the head says it
		f := Failed{Rank: l.failed.process.rank, Node: on.name, How: howEnded(l.failed.status), Code: l.failed.status.ExitStatus()}
		if s := l.failed.status; s.Signaled() {
			f.Signal, f.Code = int(s.Signal()), 128+int(s.Signal())
		}
		if out := l.failed.process.out; out != nil {
			f.Lines = out.last
		}
		on.tell(f)
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

// finish waits until all that was written is passed on.
func (l *launcher) finish() {
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
	l.say()
}
