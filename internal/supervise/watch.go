package supervise

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sampleStep is how often memory is looked at where no cgroup limits it.
	sampleStep = 200 * time.Millisecond
	// killStep is how often SIGKILL is repeated while something is left.
	killStep = 20 * time.Millisecond
	// leftoverPatience is how long we wait for what cannot be killed (it
	// sleeps in the kernel) before we say so and go.
	leftoverPatience = 10 * time.Second
)

// watch waits until the process has ended and keeps its limits meanwhile.
func (s *supervisor) watch() {
	s.kill = time.NewTimer(time.Hour)
	s.kill.Stop()
	defer s.kill.Stop()
	var over, sample <-chan time.Time
	if s.launch.Again {
		var w wish
		if err := readState(s.dir, stopFile, &w); err == nil { // while nobody was there to hear it
			s.end(Stopped, w.Grace, "")
		}
	}
	if s.launch.MaxDuration > 0 {
		t := time.NewTimer(s.launch.MaxDuration - time.Since(s.began.StartedAt))
		defer t.Stop()
		over = t.C
	}
	if s.launch.Memory > 0 && !s.groups.memory && canSample {
		t := time.NewTicker(sampleStep)
		defer t.Stop()
		sample = t.C
	}
	for s.reap(); !s.exited; s.reap() {
		select {
		case <-s.child:
		case sig := <-s.signals:
			s.take(sig)
		case <-over:
			s.end(TimedOut, s.launch.Grace, fmt.Sprintf("its time is over: %s", s.launch.MaxDuration))
		case <-s.kill.C:
			s.killAll()
			s.kill.Reset(time.Second) // what it started meanwhile
		case <-sample:
			s.checkMemory()
		}
	}
	s.endedAt = time.Now().UTC()
}

// reap takes the exit status of every child that ended, as process 1 must. It
// says whether children are left.
func (s *supervisor) reap() (left bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // ECHILD
			return false
		case pid == 0:
			return true
		case pid == s.pid && (status.Exited() || status.Signaled()):
			s.exited, s.status = true, status
		}
	}
}

// take handles a signal that came to us.
func (s *supervisor) take(sig os.Signal) {
	number, ok := sig.(unix.Signal)
	switch {
	case !ok, number == unix.SIGPIPE:
	case number == unix.SIGTERM:
		var w wish
		if err := readState(s.dir, stopFile, &w); err == nil {
			s.end(Stopped, w.Grace, "")
			return
		}
		// Nobody asked through Stop: the machine is being shut down, or a
		// person ends what runs here. The process gets the chance to end
		// well; whoever signalled decides when patience is over.
		s.terminated = true
		if s.launch.Elsewhere {
			s.killAll()
			return
		}
		s.askAll()
	default:
		_ = unix.Kill(-s.pid, number) // its group is there as long as we have not reaped it
	}
}

// lateSignals looks at what came while we were busy: at a shutdown all are told
// at once, and the process may be faster than we.
func (s *supervisor) lateSignals() {
	for {
		select {
		case sig := <-s.signals:
			var w wish
			if sig == unix.SIGTERM && s.cause == "" && readState(s.dir, stopFile, &w) != nil {
				s.terminated = true
			}
		default:
			return
		}
	}
}

// end begins to end the process: SIGTERM now, SIGKILL after grace. The first
// cause stays; a shorter grace counts.
func (s *supervisor) end(cause Cause, grace time.Duration, message string) {
	if s.reap(); s.exited {
		return // it was faster
	}
	at := time.Now().Add(grace)
	first := s.cause == ""
	if first {
		s.cause, s.message = cause, message
	}
	if first || at.Before(s.killAt) {
		s.killAt = at
		s.kill.Reset(grace)
	}
	switch {
	case grace <= 0:
		s.killAll()
	case first:
		s.askAll()
	}
}

// askAll tells all of it to end. What is stopped could not hear that.
func (s *supervisor) askAll() {
	if s.launch.PassesOn {
		_ = unix.Kill(s.pid, unix.SIGTERM) // not reaped yet
		_ = unix.Kill(s.pid, unix.SIGCONT)
		return
	}
	s.signalAll(unix.SIGTERM)
	s.signalAll(unix.SIGCONT)
}

// signalAll reaches its group and what left the group.
func (s *supervisor) signalAll(sig unix.Signal) {
	_ = unix.Kill(-s.pid, sig) // ESRCH: gone
	for _, pid := range descendants(os.Getpid()) {
		if group, err := unix.Getpgid(pid); err == nil && group != s.pid {
			_ = unix.Kill(pid, sig) // ESRCH: gone
		}
	}
}

func (s *supervisor) killAll() {
	s.groups.kill()
	s.signalAll(unix.SIGKILL)
}

// endLeftovers kills what the process left behind: with its end the attempt
// has ended.
func (s *supervisor) endLeftovers() {
	patience := time.NewTimer(leftoverPatience)
	defer patience.Stop()
	step := time.NewTicker(killStep)
	defer step.Stop()
	s.killOrphans()
	for s.reap() {
		s.groups.kill()
		for _, pid := range descendants(os.Getpid()) {
			_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: gone
		}
		select {
		case <-s.child:
		case <-step.C:
		case <-patience.C:
			s.message = strings.TrimPrefix(s.message+"; some of its processes could not be killed", "; ")
			return
		}
	}
}

// checkMemory keeps the memory limit where no cgroup does.
func (s *supervisor) checkMemory() {
	used := treeMemory(os.Getpid(), s.launch.Memory)
	if used <= s.launch.Memory {
		return
	}
	if s.reap(); s.exited {
		return
	}
	if s.cause == "" {
		s.cause = OutOfMemory
		s.message = fmt.Sprintf("out of memory: it used %s, the limit is %s", InUnits(used), InUnits(s.launch.Memory))
	}
	s.killAll()
}

// InUnits says a number of bytes exactly, in the largest unit that can.
func InUnits(bytes int64) string {
	const step = 1 << 10
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	at := 0
	for bytes != 0 && bytes%step == 0 && at < len(units)-1 {
		bytes /= step
		at++
	}
	return fmt.Sprintf("%d %s", bytes, units[at])
}

// lookForOOM finds out whether an end was the kernel's, for want of memory.
func (s *supervisor) lookForOOM() {
	if s.status.Exited() && s.status.ExitStatus() == 0 {
		return
	}
	if s.groups.oomKills() > 0 {
		s.cause = OutOfMemory
		s.message = "out of memory: the limit is " + InUnits(s.launch.Memory)
		return
	}
	killed := s.status.Signaled() && s.status.Signal() == unix.SIGKILL
	// In a container all kills in our group are of this process's making; on
	// a host others share the group, and only its own death counts.
	if (killed || os.Getpid() == 1) && ownOOMKills() > s.ownOOM {
		s.cause = OutOfMemory
		s.message = "out of memory: the kernel killed it, or a process of it, for the limit of the control group that runner is in"
		if s.launch.EngineMemory > 0 {
			s.message = "out of memory: the limit is " + InUnits(s.launch.EngineMemory)
		}
		return
	}
	if killed && kernelKilled(s.pid, s.began.StartedAt) {
		s.cause = OutOfMemory
		s.message = "out of memory: the kernel killed it, because the whole machine had no more"
	}
}
