package ranks

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr: a group of its own, and death when the thread dies that started it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return sig.String()
}

// dup makes to a copy of from.
func dup(from, to int) error { return unix.Dup3(from, to, 0) }

// becomeReaper has the orphans among our descendants become our children.
func becomeReaper() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } // Linux before 3.4
