package supervise

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func pipe(fds []int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(fds); err != nil {
		return err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return nil
}

// growPipe cannot grow one here; 64 KiB is what the system gives a busy pipe.
func growPipe(int, int) int { return 64 << 10 }

// dup makes to a copy of from.
func dup(from, to int) error { return unix.Dup2(from, to) }

// bootID changes with each boot.
func bootID() string {
	t, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return ""
	}
	return strconv.FormatInt(t.Sec, 10)
}

// becomeKeeper: this system has no subreaper. Orphans that made a session of
// their own are not found.
func becomeKeeper() {}

func shieldFromOOM() {}

// killOrphans kills what is left in the group of a process that has ended: its
// orphans are not our children here.
func (s *supervisor) killOrphans() {
	_ = unix.Kill(-s.pid, unix.SIGKILL) // ESRCH: nothing is left
}

func childAttr(int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// startTime of a process, in microseconds since 1970.
func startTime(pid int) (uint64, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0, err
	}
	t := k.Proc.P_starttime
	return uint64(t.Sec)*1_000_000 + uint64(t.Usec), nil
}

// descendants by the parent that each process has now.
func descendants(pid int) []int {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil
	}
	under := map[int][]int{}
	for i := range all {
		parent := int(all[i].Eproc.Ppid)
		under[parent] = append(under[parent], int(all[i].Proc.P_pid))
	}
	var out []int
	for next := under[pid]; len(next) > 0; {
		p := next[0]
		next = append(next[1:], under[p]...)
		out = append(out, p)
	}
	return out
}

// marked cannot be told here: the environment of others is not shown.
func marked(string) []int { return nil }

func killMarked(int, string) {}

func treeMemory(int, int64) int64 { return 0 }

// canSample: treeMemory does not work here.
const canSample = false
