package supervise

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DieBy ends this process by a signal, so that the supervisor sees how the one
// below ended. Go has handlers of its own for most; the kernel is told to forget
// them. It returns when the signal did not end us: the exit code then says it.
func DieBy(sig syscall.Signal) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the core that counts is the process's own
	// struct sigaction: SIG_DFL, no flags, nothing masked are all zeros.
	var none [4]uint64
	const maskBytes = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&none)), 0, maskBytes, 0, 0)
	_ = errno // SIGKILL has no handler to forget
	if unix.Kill(unix.Getpid(), sig) != nil {
		return
	}
	const soon = 1000 // milliseconds; it may come on another thread
	_, _ = unix.Poll(nil, soon)
}
