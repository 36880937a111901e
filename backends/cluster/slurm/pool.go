package slurm

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/runconfig"
)

// showAll has scontrol, the first argument, tell of all that a pool is in one
// question.
const showAll = `"$1" show config && "$1" --all show partition && "$1" --all show node`

// Pool asks scontrol for the nodes of the partitions that runs of the target go
// to.
func (e *Engine) Pool(ctx context.Context) (backends.Pool, error) {
	said, err := e.run(ctx, "", "scontrol", "/bin/sh", "-c", showAll, "sh", e.program("scontrol"))
	if err != nil {
		return backends.Pool{}, err
	}
	return e.options.pool(said)
}

// partition is what a pool needs of one.
type partition struct {
	name    string
	nodes   []string
	total   int // nodes, where their names are not told
	tier    int
	preempt bool // its jobs may be taken for those of a higher tier
	idle    string
}

// pool reads what scontrol said.
func (o Options) pool(said string) (backends.Pool, error) {
	all, used, first := o.partitions(said)
	if len(used) == 0 {
		return backends.Pool{}, broken("the cluster has no partition that runs of this target could go to", "scontrol show partition tells which it has")
	}
	p := backends.Pool{VMPriority: string(runconfig.Dedicated), Nodes: []backends.PoolNode{}}
	if first.preempt && slices.ContainsFunc(all, func(other partition) bool { return other.tier > first.tier }) {
		p.VMPriority = string(runconfig.LowPriority)
	}
	names := map[string]bool{}
	for _, one := range used {
		p.MaxNodes = max(p.MaxNodes, one.total)
		for _, name := range one.nodes {
			names[name] = true
		}
	}
	var sizes []string
	for _, r := range records(said, "NodeName") {
		n := o.node(r)
		in := slices.ContainsFunc(strings.Split(r["Partitions"], ","), func(name string) bool {
			return slices.ContainsFunc(used, func(u partition) bool { return u.name == name })
		})
		if !in {
			continue
		}
		if sizes = append(sizes, n.VMSize); n.State == "" {
			continue
		}
		names[n.Name] = true
		p.Nodes = append(p.Nodes, n)
	}
	p.MaxNodes = max(p.MaxNodes, len(names))
	p.MinNodes = p.MaxNodes
	power := configOf(said)
	if seconds, ok := power.idle(first); ok {
		p.IdleSeconds, p.MinNodes = &seconds, min(p.MaxNodes, power.kept(all, names))
	}
	slices.SortFunc(p.Nodes, func(a, b backends.PoolNode) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(sizes)
	p.VMSize = strings.Join(slices.Compact(sizes), "; ")
	return p, nil
}

// partitions are all, those that the target's runs go to, and the first of
// these.
func (o Options) partitions(said string) (all, used []partition, first partition) {
	asked := strings.Split(o.Defaults.Partition, ",")
	low := strings.Split(o.LowPriority.Partition, ",")
	for _, r := range records(said, "PartitionName") {
		one := partition{name: r["PartitionName"], nodes: expand(r["Nodes"]), preempt: !slices.Contains([]string{"", "OFF"}, r["PreemptMode"]), idle: r["SuspendTime"]}
		one.tier, _ = strconv.Atoi(r["PriorityTier"]) // 0: it does not say
		one.total, _ = strconv.Atoi(r["TotalNodes"])
		if r["Nodes"] == "ALL" {
			one.nodes = nil
		}
		all = append(all, one)
		mine := slices.Contains(asked, one.name) || o.Defaults.Partition == "" && r["Default"] == "YES"
		if mine && first.name == "" {
			first = one
		}
		if mine || slices.Contains(low, one.name) {
			used = append(used, one)
		}
	}
	if first.name == "" && len(used) > 0 {
		first = used[0]
	}
	return all, used, first
}

// node is one, with an empty state when it is not there.
func (o Options) node(r record) backends.PoolNode {
	n := backends.PoolNode{Name: r["NodeName"], EngineState: r["State"], VMSize: sizeOf(r)}
	why, given := r["Reason"], ""
	if i := strings.LastIndexByte(why, '['); i >= 0 && strings.HasSuffix(why, "]") {
		_, given, _ = strings.Cut(why[i+1:len(why)-1], "@")
		why = strings.TrimSpace(why[:i])
	}
	reserved := r["ReservationName"]
	n.State, n.Reason = nodeState(flagsOf(n.EngineState), why, reserved != "" && reserved == o.Defaults.Reservation)
	if at := moment(given); !at.IsZero() && n.Reason == why {
		n.Since = &at
	}
	return n
}

// sizeOf a node: the cloud's own name where Slurm has it, else what it has.
func sizeOf(r record) string {
	if name := r["InstanceType"]; name != "" {
		return name
	}
	words := []string{r["CPUTot"] + " CPUs"}
	if memory, err := strconv.Atoi(r["RealMemory"]); err == nil {
		words = append(words, strconv.Itoa(memory)+" MiB")
	}
	if gres := withoutSockets(r["Gres"]); gres != "" {
		words = append(words, gres)
	}
	return strings.Join(words, ", ")
}

// withoutSockets takes "(S:0-1)" from "gpu:a100:4(S:0-1)".
func withoutSockets(gres string) string {
	for {
		before, rest, ok := strings.Cut(gres, "(")
		_, after, closed := strings.Cut(rest, ")")
		if !ok || !closed {
			return gres
		}
		gres = before + after
	}
}

// power is how a cluster switches nodes on and off.
type power map[string]string

// configOf reads the lines "Key = Value" of scontrol show config.
func configOf(said string) power {
	p := power{}
	for line := range strings.Lines(said) {
		name, value, ok := strings.Cut(line, " = ")
		if name = strings.TrimSpace(name); !ok || strings.Contains(name, "=") {
			continue
		}
		if value = strings.TrimSpace(value); value != "(null)" {
			p[name] = value
		}
	}
	return p
}

// idle is after how many seconds a node of a partition is switched off.
func (p power) idle(of partition) (seconds int, ok bool) {
	if p["SuspendProgram"] == "" {
		return 0, false
	}
	for _, text := range []string{of.idle, p["SuspendTime"]} {
		if text == "" || text == "GLOBAL" {
			continue
		}
		number, _, _ := strings.Cut(text, " ") // "300 sec"
		seconds, err := strconv.Atoi(number)
		return seconds, err == nil && seconds >= 0
	}
	return 0, false
}

// kept is how many of the named nodes are never switched off.
func (p power) kept(all []partition, names map[string]bool) int {
	always, counted := map[string]bool{}, 0
	keep := func(list []string, number string) {
		here := 0
		for _, name := range list {
			if names[name] {
				here++
			}
		}
		if n, err := strconv.Atoi(number); err == nil { // so many of them, whichever
			counted += min(n, here)
			return
		}
		for _, name := range list {
			if names[name] {
				always[name] = true
			}
		}
	}
	for _, one := range elements(p["SuspendExcNodes"]) {
		list, number, _ := strings.Cut(one, ":")
		keep(expand(list), number)
	}
	for _, one := range elements(p["SuspendExcParts"]) {
		name, number, _ := strings.Cut(one, ":")
		for _, part := range all {
			if part.name == name {
				keep(part.nodes, number)
			}
		}
	}
	return len(always) + counted
}
