package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killGroup kills all processes in one control group, except ourselves.
func killGroup(path string) {
	if put(path, "cgroup.kill", "1") == nil {
		return // v2 since Linux 5.14 does it at once
	}
	self := os.Getpid()
	for _, w := range words(path, "cgroup.procs") {
		if pid, err := strconv.Atoi(w); err == nil && pid > 0 && pid != self {
			_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: gone
		}
	}
}

const (
	// removeTries and removeStep: a group can be removed once the last of its
	// processes is gone for good, some milliseconds after it was killed.
	removeTries = 100
	removeStep  = 5 * time.Millisecond
)

// removeGroup kills what is in a group and removes it.
func removeGroup(path string) {
	step := time.NewTicker(removeStep)
	defer step.Stop()
	for range removeTries {
		err := unix.Rmdir(path)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return
		}
		killGroup(path)
		<-step.C
	}
}

// groupMounts is where the control groups of this machine are.
type groupMounts struct {
	// v2 is where the unified hierarchy is mounted, v2Own our group below it.
	v2, v2Own string
	// v1 are the directories of our own groups by controller.
	v1 map[string]string
}

func readMounts() groupMounts {
	m := groupMounts{v1: map[string]string{}}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return m
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return m
	}
	return parseMounts(string(own), string(table))
}

func parseMounts(own, table string) groupMounts {
	m := groupMounts{v1: map[string]string{}}
	mine := map[string]string{} // our group by controller; "" is v2
	for line := range strings.Lines(own) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) < 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			mine[c] = parts[2]
		}
	}
	for line := range strings.Lines(table) {
		left, right, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(left), strings.Fields(right)
		if !ok || len(a) < 5 || len(b) < 3 {
			continue
		}
		root, point := unescape(a[3]), unescape(a[4])
		switch b[0] {
		case "cgroup2":
			if path, ok := mine[""]; ok {
				m.v2, m.v2Own = point, below(root, path)
			}
		case "cgroup":
			for c := range strings.SplitSeq(b[2], ",") {
				if path, ok := mine[c]; ok && (c == "memory" || c == "cpu") {
					m.v1[c] = filepath.Join(point, below(root, path))
				}
			}
		}
	}
	return m
}

// below is path seen from root; in a container with a namespace of its own the
// two may have nothing in common, and then root itself is ours.
func below(root, path string) string {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	if !ok {
		return "/"
	}
	return filepath.Join("/", rest)
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
