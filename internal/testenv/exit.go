package testenv

import "syscall"

// Exit ends a test binary that was started as the program. os.Exit would take
// a second of sleep under the race detector, which a test that starts hundreds
// of processes, most of them on a machine that knows nothing of GORACE, feels
// more than all else.
func Exit(code int) { syscall.Exit(code) }
