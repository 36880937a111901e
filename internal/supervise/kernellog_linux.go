package supervise

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kernelRecord is the largest record that the kernel's log gives.
const kernelRecord = 8192

// kernelKilled says whether the kernel's log, where we may read it, tells that
// pid was killed for want of memory after it started.
func kernelKilled(pid int, started time.Time) bool {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // only read
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return false
	}
	since := now.Nano()/1000 - time.Since(started).Microseconds()
	buf := make([]byte, kernelRecord)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EPIPE || err == unix.EINTR: // EPIPE: records were lost, read on
		case err != nil || n <= 0:
			return false
		case saysKilled(string(buf[:n]), pid, since):
			return true
		}
	}
}

// saysKilled reads one record: "priority,number,microseconds,flags;text".
func saysKilled(record string, pid int, since int64) bool {
	head, text, ok := strings.Cut(record, ";")
	var priority, number, at int64
	if !ok {
		return false
	}
	if _, err := fmt.Sscanf(head, "%d,%d,%d", &priority, &number, &at); err != nil || at < since {
		return false
	}
	return strings.HasPrefix(text, "Out of memory: Killed process "+fmt.Sprint(pid)+" ") ||
		strings.HasPrefix(text, "Memory cgroup out of memory: Killed process "+fmt.Sprint(pid)+" ")
}
