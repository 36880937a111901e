package ranks

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr: a group of its own.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return sig.String()
}

// dup makes to a copy of from.
func dup(from, to int) error { return unix.Dup2(from, to) }

// becomeReaper: this system has none.
func becomeReaper() {}
