package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor keeps one process.
type supervisor struct {
	dir    string
	launch Launch
	// signals for us, and the word that a child changed.
	signals, child chan os.Signal

	groups *groups
	// ownOOM is how many the kernel had killed in our own group at the start.
	ownOOM int
	log    *logWriter
	pump   *pump
	pid    int
	began  started
	// first is when the process was started the first time; zero: now.
	first   time.Time
	exited  bool
	status  unix.WaitStatus
	endedAt time.Time

	// cause is set when we began to end it.
	cause      Cause
	message    string
	terminated bool
	killAt     time.Time
	kill       *time.Timer
}

// fewThreads is enough to carry a log and to wait.
const fewThreads = 2

// passedOn are signals that go to the process as they are.
func passedOn() []os.Signal {
	return []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}
}

// keep starts a process in dir and keeps it until it ended and that is
// written down. It calls answer once something can be said.
func keep(dir string, launch Launch, answer func(Status)) (code int, err error) {
	runtime.LockOSThread() // the process dies with the thread that started it
	runtime.GOMAXPROCS(fewThreads)
	s := &supervisor{
		dir: dir, launch: launch,
		signals: make(chan os.Signal, 16), child: make(chan os.Signal, 1),
	}
	// From here on nobody can end us by accident. SIGPIPE: the one who started
	// us may be gone when we answer. Handlers, unlike "ignore", are not
	// inherited by the process.
	signal.Notify(s.signals, append(passedOn(), unix.SIGTERM, unix.SIGPIPE)...)
	signal.Notify(s.child, unix.SIGCHLD)
	becomeKeeper()

	before, beforeErr := readKeeper(dir)
	lock, err := takeLock(context.Background(), dir, launch.Again)
	if errors.Is(err, errTaken) {
		st := StatusOf(dir)
		answer(st)
		return st.ExitCode, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = lock.Close() }() // the end of our watch
	if beforeErr == nil {
		// A supervisor died between its lock and its first word, or before we came
		// in its place.
		killLeftovers(context.Background(), before)
	}
	if err := s.takeOver(); err != nil {
		return 0, err
	}
	if err := s.start(lock); err != nil {
		return 0, s.undo(err)
	}
	answer(s.now())
	if s.cause == NotStarted {
		return s.exitCode(), nil
	}
	shieldFromOOM()
	s.watch()
	s.finish()
	return s.exitCode(), s.writeEnded()
}

// start makes files and groups and starts the process. An error means that
// nothing could even be written down; a process that cannot be started is an
// end like others.
func (s *supervisor) start(lock *os.File) error {
	self := keeper{pid: os.Getpid(), mark: s.launch.Mark}
	var err error
	if self.start, err = startTime(self.pid); err != nil {
		self.start = 0 // without /proc nobody can check, and so nobody signals us
	}
	if err := writeLock(lock, self); err != nil {
		return err
	}
	if err := reserve(s.dir); err != nil {
		return err
	}
	if s.log, err = openLog(s.dir, s.launch.MaxLog, time.Now, s.launch.Again); err != nil {
		return err
	}
	s.ownOOM = ownOOMKills()
	s.groups = makeGroups(s.dir, s.launch.Memory, s.launch.CPUs)
	var write *os.File
	if s.pump, write, err = newPump(s.log, newRedactor(s.launch.Redact)); err != nil {
		return err
	}
	// Should we be killed between the fork and started.json, then this tells
	// that the process may have run: it is lost, and never runs twice.
	self.groups, self.forking = s.groups.paths(), true
	if err := writeLock(lock, self); err != nil {
		return err
	}
	startErr := s.startProcess(write)
	_ = write.Close() // the process has its own
	if err := s.writeStarted(); err != nil {
		return err
	}
	if startErr == nil {
		go s.pump.run()
		return nil
	}
	s.cause, s.message, s.endedAt = NotStarted, startErr.message, s.began.StartedAt
	s.status = unix.WaitStatus(startErr.code << 8)
	go s.pump.run()
	s.finish()
	return s.writeEnded()
}

// undo takes back a start that could not be written down.
func (s *supervisor) undo(err error) error {
	if s.launch.Again { // there is more than ours
		return fmt.Errorf("start again in %s: %w", s.dir, err)
	}
	if s.pid != 0 {
		s.killAll()
		s.endLeftovers()
	}
	if s.groups != nil {
		s.groups.remove()
	}
	for _, name := range []string{spareFile, startedFile, LogFile, indexFile, lockFile} {
		if rm := os.Remove(s.dir + "/" + name); rm != nil && !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return fmt.Errorf("start in %s: %w", s.dir, err)
}

func writeLock(lock *os.File, k keeper) error {
	text := k.text()
	_, err := lock.WriteAt(text, 0)
	return errors.Join(err, lock.Truncate(int64(len(text))))
}

func (s *supervisor) startProcess(output *os.File) *startError {
	var as *startError
	env := s.launch.environment(os.Environ())
	err := checkDir(s.launch.Dir)
	if err == nil {
		err = s.launch.lookForNeeds(env) // which may know more of the program than that it is not there
	}
	var file string
	if err == nil {
		file, err = findProgram(s.launch.Argv[0], s.launch.Dir, env)
	}
	if errors.As(err, &as) {
		return as
	}
	input, err := os.Open(os.DevNull)
	if err != nil { // an image without /dev: a file at its end will do
		if input, err = emptyInput(); err != nil {
			return &startError{codeNotExecutable, "standard input: " + err.Error()}
		}
	}
	defer func() { _ = input.Close() }() // the process has its own
	out := output.Fd()
	err = s.groups.around(func(cgroup int) error {
		var err error
		s.pid, err = syscall.ForkExec(file, s.launch.Argv, &syscall.ProcAttr{
			Dir: s.launch.Dir, Env: env, Files: []uintptr{input.Fd(), out, out}, Sys: childAttr(cgroup),
		})
		return err
	})
	if err != nil {
		s.pid = 0
		return explain(err, file, s.launch.Dir)
	}
	return nil
}

// emptyInput is the reading end of a pipe that nobody writes to.
func emptyInput() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return r, w.Close()
}

func (s *supervisor) writeStarted() error {
	node, err := os.Hostname()
	if err != nil {
		node = "" // it only informs
	}
	s.began = started{
		Mark: s.launch.Mark, PID: s.pid, Supervisor: os.Getpid(), BootID: bootID(), Node: node,
		StartedAt: time.Now().UTC(), Message: s.groups.message,
	}
	if !s.first.IsZero() {
		s.began.StartedAt = s.first
	}
	return writeState(s.dir, startedFile, startedFile+".new", s.began)
}

// now is what the one who started us is told.
func (s *supervisor) now() Status {
	b := s.began
	st := Status{Phase: Running, Mark: b.Mark, PID: b.PID, BootID: b.BootID, Node: b.Node, StartedAt: b.StartedAt, Message: b.Message}
	if s.cause == NotStarted {
		st.Phase, st.Cause, st.EndedAt, st.ExitCode, st.Message = Ended, s.cause, s.endedAt, s.exitCode(), s.message
	}
	return st
}

func (s *supervisor) exitCode() int {
	if s.status.Signaled() {
		return 128 + int(s.status.Signal())
	}
	return s.status.ExitStatus()
}

// finish ends what is left of the process and completes its log.
func (s *supervisor) finish() {
	if s.pid != 0 {
		s.endLeftovers()
	}
	s.pump.finish()
}

// retryWrite is how often we try again to write down the end on a disk that is
// full or fails.
const retryWrite = time.Second

// writeEnded writes down how it ended, whatever it takes: until it is written
// we hold the lock and so the process counts as running.
func (s *supervisor) writeEnded() error {
	dropped, logErr := s.log.finish()
	s.lateSignals()
	if s.cause == "" {
		s.cause = Exited
		s.lookForOOM()
	}
	s.groups.remove()
	e := ended{
		EndedAt: s.endedAt, Cause: s.cause, ExitCode: s.exitCode(), Message: s.message,
		Terminated: s.terminated, LogDropped: dropped,
	}
	if s.status.Signaled() {
		e.Signal = unix.SignalName(s.status.Signal())
	}
	if e.Message == "" && logErr != nil {
		e.Message = "log: " + logErr.Error()
	}
	e.Message = shorten(e.Message)
	retry := time.NewTicker(retryWrite)
	defer retry.Stop()
	for {
		err := writeState(s.dir, endedFile, spareFile, e)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return err // the second: our directory was taken away
		}
		select {
		case sig := <-s.signals:
			if sig == unix.SIGTERM {
				return err
			}
		case <-retry.C:
		}
	}
}
