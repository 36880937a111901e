package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// StatusOf says what is known of the process of one directory of this computer.
// It never fails: what is damaged is Lost, what cannot be read now is Unknown,
// each with a message.
func StatusOf(dir string) Status {
	s := look(dir)
	if info, err := os.Stat(filepath.Join(dir, LogFile)); err == nil {
		s.LogBytes = info.Size()
	}
	if s.Phase == Absent {
		_, err := os.Lstat(dir)
		s.NoDirectory = errors.Is(err, os.ErrNotExist)
	}
	return s
}

// StatusAll asks for many directories; the answer has the same order.
func StatusAll(dirs []string) []Status {
	out := make([]Status, len(dirs))
	for i, dir := range dirs {
		out[i] = StatusOf(dir)
	}
	return out
}

// glances is how often we look again when a process was started between two of
// our questions. It can be started only once.
const glances = 3

func look(dir string) Status {
	var s Status
	for range glances {
		var sure bool
		if s, sure = glance(dir); sure {
			break
		}
	}
	return s
}

// glance asks in an order that makes the answers fit together: what was there
// before we found nobody holding the lock was left by somebody who is gone.
func glance(dir string) (s Status, sure bool) {
	forking := wasForking(dir)
	startErr := readStarted(dir, &s)
	if readEnded(dir, &s) == nil {
		s.Phase = Ended
		return s, !errors.Is(startErr, os.ErrNotExist)
	}
	lives, lockErr := held(dir)
	if lives {
		s.Phase = Running
		if startErr != nil && !errors.Is(startErr, os.ErrNotExist) {
			s.Message = startErr.Error()
		}
		return s, true
	}
	endErr := readEnded(dir, &s) // it may have ended between our questions
	switch {
	case endErr == nil:
		s.Phase = Ended
		return s, startErr == nil // else it was started and ended meanwhile: look at all of it
	case !errors.Is(endErr, os.ErrNotExist):
		s.Phase, s.Message = unreadable(endErr), endErr.Error()
	case lockErr != nil:
		s.Phase, s.Message = unreadable(lockErr), lockErr.Error()
	case startErr == nil:
		s.Phase = Lost
		s.Rebooted = s.BootID != "" && s.BootID != bootID()
		s.Message = "its supervisor is gone and nothing says how it ended"
		if s.Rebooted {
			s.Message = "the machine was started anew while it ran"
		}
	case !errors.Is(startErr, os.ErrNotExist):
		s.Phase, s.Message = unreadable(startErr), startErr.Error()
	case forking && !wasStarted(dir):
		s.Phase, s.Message = Lost, "its supervisor died while it started the process"
	default:
		s.Phase = Absent
		return s, !forking && !wasStarted(dir)
	}
	return s, true
}

// unreadable tells a damaged file from a system that does not let us look.
func unreadable(err error) Phase {
	if errors.Is(err, errDamaged) {
		return Lost
	}
	return Unknown
}

func readStarted(dir string, s *Status) error {
	var st started
	if err := readState(dir, startedFile, &st); err != nil {
		return err
	}
	if st.Mark == "" || st.StartedAt.IsZero() {
		return fmt.Errorf("%s is %w: it says nothing", startedFile, errDamaged)
	}
	s.Mark, s.PID, s.BootID, s.Node, s.StartedAt = st.Mark, st.PID, st.BootID, st.Node, st.StartedAt
	s.Message = st.Message
	return nil
}

func readEnded(dir string, s *Status) error {
	var e ended
	if err := readState(dir, endedFile, &e); err != nil {
		return err
	}
	if e.Cause == "" || e.EndedAt.IsZero() {
		return fmt.Errorf("%s is %w: it says nothing", endedFile, errDamaged)
	}
	s.EndedAt, s.Cause, s.ExitCode, s.Signal = e.EndedAt, e.Cause, e.ExitCode, e.Signal
	s.Terminated, s.LogDropped = e.Terminated, e.LogDropped
	s.Message = e.Message // what was said of it while it ran says nothing of its end
	return nil
}
