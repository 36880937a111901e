package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func pipe(fds []int) error { return unix.Pipe2(fds, unix.O_CLOEXEC) }

// growPipe asks for a larger pipe and says how large it is.
func growPipe(fd, size int) int {
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size); err == nil {
		return n
	}
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil {
		return n
	}
	return 64 << 10
}

// dup makes to a copy of from.
func dup(from, to int) error { return unix.Dup3(from, to, 0) }

// bootID changes with each boot.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// becomeKeeper makes the orphans among our descendants our children, keeps
// inherited descriptors from the process, and makes the kernel take others
// first when memory is short.
func becomeKeeper() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)          // Linux before 3.4
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux before 5.11: Go's own are marked anyway
}

// shieldFromOOM is only for those who may; the process was started before.
func shieldFromOOM() {
	if os.Geteuid() == 0 {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) // a container may not allow it
	}
}

// killOrphans has nothing to do here: the subreaper has them as children.
func (s *supervisor) killOrphans() {}

// childAttr: a session of its own, and death when its supervisor's thread dies.
// The caller must keep its thread. cgroup is a directory's descriptor, or -1.
func childAttr(cgroup int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if cgroup >= 0 {
		attr.UseCgroupFD, attr.CgroupFD = true, cgroup
	}
	return attr
}

// stat is what we need of /proc/PID/stat.
type stat struct {
	state  byte
	parent int
	group  int
	start  uint64
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(data)
}

var errStat = errors.New("/proc/PID/stat is not as it should be")

func parseStat(data []byte) (stat, error) {
	// The name may hold anything, also parentheses: the last one ends it.
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return stat{}, errStat
	}
	fields := strings.Fields(string(data[i+1:]))
	if len(fields) < 20 {
		return stat{}, errStat
	}
	parent, err1 := strconv.Atoi(fields[1])
	group, err2 := strconv.Atoi(fields[2])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	return stat{state: fields[0][0], parent: parent, group: group, start: start}, errors.Join(err1, err2, err3)
}

// startTime of a process, in clock ticks since boot.
func startTime(pid int) (uint64, error) {
	s, err := readStat(pid)
	return s.start, err
}

// treeBelow are the children of all processes by their parent, for a kernel that
// does not list children itself.
func treeBelow() map[int][]int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	out := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil {
			out[s.parent] = append(out[s.parent], pid)
		}
	}
	return out
}

// listsChildren says whether the kernel lists the children of a process.
func listsChildren() bool {
	_, err := os.Stat("/proc/self/task/" + strconv.Itoa(unix.Gettid()) + "/children")
	return err == nil
}

// children of a process, also those of its threads.
func children(pid int) []int {
	base := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(base)
	if err != nil {
		return nil
	}
	var out []int
	for _, t := range tasks {
		data, err := os.ReadFile(base + "/" + t.Name() + "/children")
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(data)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// descendants of a process, without itself. With the subreaper these are all
// that it ever started and that still live, whatever sessions they made.
func descendants(pid int) []int {
	below := children
	if !listsChildren() {
		tree := treeBelow()
		below = func(pid int) []int { return tree[pid] }
	}
	var out []int
	seen := map[int]bool{pid: true}
	for next := []int{pid}; len(next) > 0; {
		p := next[0]
		next = next[1:]
		for _, c := range below(p) {
			if !seen[c] {
				seen[c] = true
				out = append(out, c)
				next = append(next, c)
			}
		}
	}
	return out
}

// marked are the processes whose environment says that they belong to mark.
func marked(mark string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	self := os.Getpid()
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != self && hasMark(pid, mark) {
			out = append(out, pid)
		}
	}
	return out
}

func hasMark(pid int, mark string) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(env) == 0 {
		return false
	}
	want := []byte(markVariable + "=" + mark)
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, want) {
			return true
		}
	}
	return false
}

// killMarked kills one process that belongs to mark. The pidfd makes sure that
// it is the one that was looked at.
func killMarked(pid int, mark string) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if errors.Is(err, unix.ENOSYS) && hasMark(pid, mark) {
			_ = unix.Kill(pid, unix.SIGKILL) // gone already is the aim
		}
		return
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	if hasMark(pid, mark) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone already is the aim
	}
}

// treeMemory is the resident memory of all descendants of pid in bytes. It adds
// up quickly what each has; only when that is over limit, it asks for the exact
// (proportional) share, because forked workers share most of theirs.
func treeMemory(pid int, limit int64) int64 {
	var sum int64
	pids := descendants(pid)
	for _, p := range pids {
		sum += resident(p)
	}
	if sum <= limit {
		return sum
	}
	var exact int64
	for _, p := range pids {
		n, err := proportional(p)
		if err != nil {
			n = resident(p)
		}
		exact += n
	}
	return exact
}

func resident(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func proportional(pid int) (int64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errStat
}

// canSample says that treeMemory works here.
const canSample = true
