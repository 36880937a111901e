package inventory

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"
)

const (
	gib = 1 << 30
	// fewFiles and fewProcesses are limits that data loaders meet.
	fewFiles, fewProcesses = 4096, 512
	// lowDisk and noDisk are bytes below which environments and images do not
	// fit, and below which nothing does.
	lowDisk, noDisk = 5 * gib, gib / 2
	// lowFiles is how many files an environment may have.
	lowFiles = 200_000
	// lowMemory is what installing and importing a framework needs.
	lowMemory = 2 * gib
	// skewed is a difference of clocks in seconds that confuses timestamps.
	skewed = 5.0
)

// oldestSense is before any machine that runs this was set right.
var oldestSense = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func diagnoseSystem(inv *Inventory) []Finding {
	s := inv.System
	f := Finding{
		Subject: subjectSystem, Level: OK,
		What:  fmt.Sprintf("%s, %s/%s, kernel %s", cmp.Or(s.Name, s.OS), s.OS, s.Arch, cmp.Or(s.Kernel, "unknown")),
		Means: "runs work here as plain processes and, with an engine, in containers",
	}
	switch {
	case s.OS == "darwin":
		f.Level, f.Means = Note, "plain processes run without limits of CPU; containers run in the engine's Linux machine, without GPU"
	case s.OS != "linux":
		f.Level, f.Means = Problem, "runs are only carried out on Linux and macOS"
	case s.Container:
		f.Level, f.Means = Note, "this is itself a container: what runs leave outside its volumes is gone with it"
	case s.WSL:
		f.Level, f.Means = Note, "runs end when Windows stops this Linux; files under /mnt are slow"
		f.Hint = "keep the sources in the Linux file system"
	}
	return []Finding{f}
}

func diagnoseDisk(inv *Inventory) []Finding {
	d := inv.Disk
	if d.Total == 0 {
		return []Finding{{
			Subject: subjectDisk, Level: Note, What: "the free space at " + d.Path + " is not known",
			Means: "a full disk is only noticed when a run meets it",
		}}
	}
	what := fmt.Sprintf("%s free of %s at %s", bytesOf(d.Free), bytesOf(d.Total), d.Path)
	if d.FileSystem != "" {
		what += " (" + d.FileSystem + ")"
	}
	f := Finding{Subject: subjectDisk, Level: OK, What: what, Means: "room for environments, snapshots and outputs"}
	const free = "free space (runner prune, runner environment prune), or set RUNNER_HOME to a larger disk"
	switch {
	case d.Free < noDisk:
		f.Level, f.Means, f.Hint = Problem, "runs fail: there is no room for their logs and outputs", free
	case d.Free < lowDisk:
		f.Level, f.Means, f.Hint = Warning, "an environment with a deep-learning framework takes 5 GiB and more: making one may fail", free
	case d.FreeFiles >= 0 && d.FreeFiles < lowFiles:
		f.Level, f.Means, f.Hint = Warning, fmt.Sprintf("only %d files more can be made: environments have many small files", d.FreeFiles), free
	}
	return []Finding{f}
}

// diagnoseHome tells of a RUNNER_HOME in a place that is not good for it.
func diagnoseHome(inv *Inventory) []Finding {
	var out []Finding
	d := inv.Disk
	add := func(l Level, what, means, hint string) {
		out = append(out, Finding{Subject: subjectHome, Level: l, What: what, Means: means, Hint: hint})
	}
	const move = "set RUNNER_HOME to a directory on a local disk"
	switch {
	case d.ReadOnly:
		add(Problem, d.Path+" is on a read-only file system", "nothing can be stored, so nothing runs", move)
	case !d.Writable:
		add(Problem, "this user may not write to "+d.Path, "nothing can be stored, so nothing runs", "set RUNNER_HOME to a directory of your own, or have the rights changed")
	}
	if d.Network {
		means := "locks and SQLite's shared memory do not work reliably there: the state of runs may be damaged"
		if !inv.Local {
			means = "environments are made and loaded slowly there, and locks may not hold between machines"
		}
		add(Warning, fmt.Sprintf("%s is on a network file system (%s)", inv.Root, d.FileSystem), means, move)
	}
	if d.NoExec {
		add(Problem, fmt.Sprintf("%s is on a file system mounted noexec (%s)", inv.Root, d.MountPoint),
			"no interpreter of an environment can be started from there, nor the supervisor of a run", move+" that is mounted without noexec")
	}
	if d.InMemory {
		add(Warning, fmt.Sprintf("%s is in memory (%s)", inv.Root, d.FileSystem), "runs, outputs and environments are gone after a reboot, and take memory until then", move)
	}
	return out
}

func diagnoseCPU(inv *Inventory) []Finding {
	c := inv.CPUs
	if c.Usable <= 0 {
		return []Finding{{
			Subject: subjectCPU, Level: Problem, What: "the number of CPUs is not known",
			Means: "nothing that asks for CPUs finds room here",
		}}
	}
	usable := strconv.FormatFloat(c.Usable, 'f', -1, 64)
	f := Finding{
		Subject: subjectCPU, Level: OK, What: many(c.Online, "CPU"),
		Means: "runs that ask for " + usable + " CPUs together go at once",
	}
	if c.Usable == 1 {
		f.Means = "runs that ask for 1 CPU go one after the other"
	}
	switch {
	case c.Quota > 0 && c.Quota < float64(c.Allowed):
		f.Level = Note
		f.What = fmt.Sprintf("%s of %s: a control group's quota", usable, many(c.Online, "CPU"))
	case c.Allowed < c.Online:
		f.Level = Note
		f.What = fmt.Sprintf("%s of %s: the affinity mask of this process", usable, many(c.Online, "CPU"))
	}
	return []Finding{f}
}

func diagnoseMemory(inv *Inventory) []Finding {
	m := inv.Memory
	var out []Finding
	if m.Usable > 0 {
		f := Finding{
			Subject: subjectMemory, Level: OK, What: bytesOf(m.Usable),
			Means: "runs whose memory fits into this together go at once",
		}
		if m.Limit > 0 {
			f.Level, f.What = Note, fmt.Sprintf("%s of %s: a control group's limit", bytesOf(m.Usable), bytesOf(m.Total))
		}
		if m.Available > 0 {
			f.What += fmt.Sprintf(", %s available now", bytesOf(m.Available))
		}
		if m.Usable < lowMemory {
			f.Level, f.Means = Warning, "installing or importing a deep-learning framework may run out of memory"
		}
		out = append(out, f)
	} else {
		out = append(out, Finding{
			Subject: subjectMemory, Level: Warning, What: "the size of the memory is not known",
			Means: "runs that ask for memory find no room here",
		})
	}
	if c := inv.Cgroup; inv.System.OS == "linux" {
		hint := "start the agent as root, or in a systemd user session with delegated controllers (systemd-run --user --scope -p Delegate=yes), or use environments with docker"
		if !inv.Local {
			hint = "use environments with docker, or log in as a user who may make control groups"
		}
		switch {
		case !c.Memory:
			out = append(out, Finding{
				Subject: subjectMemory, Level: Warning, What: "the kernel does not keep memory limits of plain processes: " + cmp.Or(c.Why, "unknown why"),
				Means: "a run's memory is looked at several times a second instead: one that grows very fast may hurt others first",
				Hint:  hint,
			})
		case !c.CPU:
			out = append(out, Finding{
				Subject: subjectCPU, Level: Note, What: "CPU limits of plain processes are not kept: " + cmp.Or(c.Why, "unknown why"),
				Means: "a run may use more CPUs than it asked for, at the cost of others",
				Hint:  "use environments with docker, or give this user the cpu controller",
			})
		}
	}
	return out
}

func diagnoseLimits(inv *Inventory) []Finding {
	var out []Finding
	l := inv.Limits
	if l.OpenFiles >= 0 && l.OpenFiles < fewFiles {
		out = append(out, Finding{
			Subject: subjectLimits, Level: Warning, What: fmt.Sprintf("a process may open at most %d files", l.OpenFiles),
			Means: "data loaders with many workers fail with \"Too many open files\"",
			Hint:  "raise the hard limit of nofile in /etc/security/limits.conf",
		})
	}
	if l.Processes >= 0 && l.Processes < fewProcesses {
		out = append(out, Finding{
			Subject: subjectLimits, Level: Warning, What: fmt.Sprintf("this user may have at most %d processes and threads", l.Processes),
			Means: "runs with many workers or threads fail to start them",
			Hint:  "raise the hard limit of nproc in /etc/security/limits.conf",
		})
	}
	return out
}

func diagnoseClock(inv *Inventory) []Finding {
	c := inv.Clock
	switch {
	case !c.Known:
		return []Finding{{
			Subject: subjectClock, Level: Note, What: "the machine's clock could not be asked",
			Means: "times of its runs are as that clock has them",
		}}
	case c.Now.Before(oldestSense):
		return []Finding{{
			Subject: subjectClock, Level: Warning, What: "the clock says " + c.Now.Format(time.RFC3339),
			Means: "downloads fail because certificates seem not valid yet, and times of runs are wrong",
			Hint:  "set the clock: timedatectl set-ntp true",
		}}
	case math.Abs(c.Skew)-c.Precision > skewed:
		which := "ahead of"
		if c.Skew < 0 {
			which = "behind"
		}
		return []Finding{{
			Subject: subjectClock, Level: Warning, What: fmt.Sprintf("the machine's clock is %.0f s %s this computer's", math.Abs(c.Skew), which),
			Means: "times of runs do not fit together, and files may look older or newer than they are",
			Hint:  "set both clocks by the network: timedatectl set-ntp true",
		}}
	}
	return nil
}
