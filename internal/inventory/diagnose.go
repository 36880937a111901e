package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Level is how much a finding matters.
type Level string

// The levels, the worst last.
const (
	// OK: it is there and works.
	OK Level = "ok"
	// Note: good to know; nothing fails.
	Note Level = "note"
	// Warning: some runs may fail or be slow.
	Warning Level = "warning"
	// Problem: what needs it does not work at all.
	Problem Level = "problem"
)

// The subjects, in the order in which findings of one level come.
const (
	subjectSystem = "System"
	subjectHome   = "Home"
	subjectDisk   = "Disk"
	subjectCPU    = "CPU"
	subjectMemory = "Memory"
	subjectPython = "Python"
	subjectUV     = "uv"
	subjectConda  = "Conda"
	subjectDocker = "Docker"
	subjectGPU    = "GPU"
	subjectGit    = "Git"
	subjectLimits = "Limits"
	subjectClock  = "Clock"
)

var (
	levels   = []Level{Problem, Warning, Note, OK}
	subjects = []string{
		subjectSystem, subjectHome, subjectDisk, subjectCPU, subjectMemory, subjectPython, subjectUV, subjectConda,
		subjectDocker, subjectGPU, subjectGit, subjectLimits, subjectClock,
	}
)

// Finding is one thing that was found out about a machine.
type Finding struct {
	// Subject, for example "Docker".
	Subject string `json:"subject"`
	Level   Level  `json:"level"`
	// What was found, on one line.
	What string `json:"what"`
	// Means says what it means for runs.
	Means string `json:"means"`
	// Hint says what to do; empty: nothing.
	Hint string `json:"hint"`
}

// Worst is the worst level among findings; OK when there are none.
func Worst(findings []Finding) Level {
	for _, l := range levels {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == l }) {
			return l
		}
	}
	return OK
}

// Diagnose says what an inventory means for runs: the worst first, those of
// one level in a fixed order.
func Diagnose(inv *Inventory) []Finding {
	out := slices.Concat(
		diagnoseSystem(inv), diagnoseDisk(inv), diagnoseHome(inv), diagnoseCPU(inv), diagnoseMemory(inv),
		diagnosePython(inv), diagnoseConda(inv), diagnoseDocker(inv), diagnoseGPU(inv), diagnoseGit(inv),
		diagnoseLimits(inv), diagnoseClock(inv),
	)
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(
			slices.Index(levels, a.Level)-slices.Index(levels, b.Level),
			slices.Index(subjects, a.Subject)-slices.Index(subjects, b.Subject),
		)
	})
	return out
}

// install is how a package is installed on this system; empty: unknown.
func (s System) install(debian, redhat, alpine string) string {
	is := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return s.Distribution == n || slices.Contains(s.Family, n) })
	}
	switch {
	case is("debian", "ubuntu"):
		return "apt install " + debian
	case is("fedora", "rhel", "centos"):
		return "dnf install " + redhat
	case is("alpine"):
		return "apk add " + alpine
	}
	return ""
}

// bytesOf is a size for a person.
func bytesOf(n int64) string {
	const step = 1024
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value, i := float64(n), 0
	for value >= step && i < len(units)-1 {
		value, i = value/step, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[i]
}
