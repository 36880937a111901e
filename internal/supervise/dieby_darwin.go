package supervise

import "syscall"

// DieBy does nothing here: the exit code says it.
func DieBy(syscall.Signal) {}
