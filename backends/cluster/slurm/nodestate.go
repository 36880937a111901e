package slurm

import (
	"slices"
	"strings"

	"github.com/runnerml/runner/backends"
)

// flags are the parts of a node's state: "MIXED+CLOUD+POWERING_UP" of 21.08 and
// newer, "MIXED#+CLOUD" of older ones, whose marks stand for flags.
type flags []string

func flagsOf(word string) flags {
	var all flags
	for part := range strings.SplitSeq(strings.ToUpper(word), "+") {
		bare := strings.TrimRight(part, "*~#!%$@^-")
		all = append(all, bare)
		for _, mark := range part[len(bare):] {
			all = append(all, marks[mark])
		}
	}
	return all
}

var marks = map[rune]string{
	'*': "NOT_RESPONDING", '~': "POWERED_DOWN", '#': "POWERING_UP", '!': "POWER_DOWN", '%': "POWERING_DOWN",
	'$': "MAINTENANCE", '@': "REBOOT_REQUESTED", '^': "REBOOT_ISSUED", '-': "PLANNED",
}

func (f flags) any(of ...string) bool {
	return slices.ContainsFunc(of, func(one string) bool { return slices.Contains(f, one) })
}

// busy reports whether jobs are on it.
func (f flags) busy() bool { return f.any("ALLOCATED", "MIXED", "COMPLETING", "ALLOC", "MIX", "COMP") }

// nodeState is the one table of what Slurm's states of nodes mean. Why is the
// reason that somebody, or Slurm, gave for it; words say more where that is
// empty or means something else. A node that is switched off, and one that is
// none yet, is not there: its state is empty.
func nodeState(f flags, why string, ours bool) (state backends.NodeState, words string) {
	taken := strings.Contains(strings.ToLower(why), "preempt")
	switch {
	case f.any("FUTURE", "DYNAMIC_FUTURE"):
		return "", ""
	case f.any("DOWN", "ERROR", "POWERED_DOWN", "POWER", "POWERING_DOWN") && taken:
		return backends.NodePreempted, why
	case f.any("DOWN", "ERROR"):
		return backends.NodeUnusable, orElse(why, "it is down")
	case f.any("POWERING_DOWN"):
		return backends.NodeLeaving, "Slurm is shutting it down"
	case f.any("POWER_DOWN", "POWERING_DOWN_FORCE") && f.busy():
		return backends.NodeLeaving, "Slurm shuts it down when its jobs have ended"
	case f.any("POWER_DOWN"):
		return backends.NodeLeaving, "Slurm is about to shut it down"
	case f.any("POWERED_DOWN", "POWER") && !f.busy() && !f.any("POWERING_UP", "POWER_UP"):
		if f.any("DRAIN", "DRAINED", "FAIL") {
			return backends.NodeUnusable, orElse(why, "it is drained, and switched off")
		}
		return "", ""
	case f.any("POWERING_UP", "POWER_UP", "POWERED_DOWN", "POWER"):
		return backends.NodePreparing, "Slurm is starting it"
	case f.any("REBOOT_ISSUED"):
		return backends.NodePreparing, "Slurm is starting it again"
	case f.any("DRAINING", "FAILING"), f.any("DRAIN", "DRAINED", "FAIL") && f.busy():
		return backends.NodeLeaving, orElse(why, "it takes no further job")
	case f.any("DRAIN", "DRAINED", "FAIL"):
		return backends.NodeUnusable, orElse(why, "it is drained")
	case f.any("NOT_RESPONDING", "NO_RESPOND"):
		return backends.NodeUnusable, "it does not answer Slurm"
	case f.any("UNKNOWN"):
		return backends.NodeUnusable, "Slurm has not heard from it yet"
	case f.busy():
		return backends.NodeRunning, ""
	case f.any("MAINTENANCE", "MAINT"):
		return backends.NodeUnusable, "reserved for maintenance"
	case f.any("RESERVED") && !ours:
		return backends.NodeUnusable, "reserved for others"
	case f.any("BLOCKED"):
		return backends.NodeUnusable, "blocked by a job that has its neighbours for itself"
	case f.any("IDLE"):
		return backends.NodeIdle, ""
	}
	return backends.NodeUnusable, orElse(why, "Slurm calls it "+strings.Join(f, "+"))
}

func orElse(first, second string) string {
	if first == "" {
		return second
	}
	return first
}
