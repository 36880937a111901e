package ranks

import (
	"syscall"
	"unsafe"

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

// dieBy ends us by a signal, so that the supervisor sees how a process ended.
// Go has handlers of its own for most; the kernel is told to forget them.
func dieBy(sig syscall.Signal) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the core that counts is the process's own
	// struct sigaction: SIG_DFL, no flags, nothing masked are all zeros.
	var none [4]uint64
	const maskBytes = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&none)), 0, maskBytes, 0, 0)
	_ = errno // SIGKILL has no handler to forget
	if unix.Kill(unix.Getpid(), sig) != nil {
		return // the exit code says it
	}
	const soon = 1000 // milliseconds; it may come on another thread
	_, _ = unix.Poll(nil, soon)
}

// dup makes to a copy of from.
func dup(from, to int) error { return unix.Dup3(from, to, 0) }
