package inventory

import (
	"context"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Cgroup is what the kernel's control groups do for us.
type Cgroup struct {
	// Version is 1, 2, or 0 where there are none.
	Version int `json:"version"`
	// Memory and CPU: the kernel keeps the limits of a plain process.
	Memory bool `json:"memory"`
	CPU    bool `json:"cpu"`
	// Why they are not kept, or empty.
	Why string `json:"why,omitempty"`
}

// groups are the control groups that we are in.
type groups struct {
	// v2 is our group's directory and v2Top where the hierarchy is mounted.
	v2, v2Top string
	// v1 are our groups' directories and their mounts by controller.
	v1, v1Top map[string]string
}

// groups finds the control groups that we are in.
func (a *asker) groups(ctx context.Context) groups {
	own, ok := a.read(ctx, "/proc/self/cgroup")
	table, ok2 := a.read(ctx, "/proc/self/mountinfo")
	if !ok || !ok2 {
		return groups{}
	}
	return groupsOf(own, parseMounts(table))
}

// groupsOf reads /proc/self/cgroup.
func groupsOf(own string, mounts []mount) groups {
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
	g := groups{v1: map[string]string{}, v1Top: map[string]string{}}
	for _, m := range mounts {
		switch m.kind {
		case "cgroup2":
			if p, ok := mine[""]; ok {
				g.v2, g.v2Top = path.Join(m.point, below(m.root, p)), m.point
			}
		case "cgroup":
			for _, c := range m.superOptions {
				if p, ok := mine[c]; ok && (c == "memory" || c == "cpu") {
					g.v1[c], g.v1Top[c] = path.Join(m.point, below(m.root, p)), m.point
				}
			}
		}
	}
	return g
}

// below is path as seen from root. In a namespace of its own the two may have
// nothing in common, and then root itself is ours.
func below(root, p string) string {
	rest, ok := strings.CutPrefix(p, strings.TrimSuffix(root, "/"))
	if !ok || strings.HasPrefix(p, "/..") {
		return "/"
	}
	return path.Join("/", rest)
}

// up lists dir and those above it, to top.
func up(dir, top string) []string {
	var out []string
	if dir == "" || top == "" {
		return nil
	}
	for {
		out = append(out, dir)
		if dir == top || len(dir) <= len(top) {
			return out
		}
		dir = path.Dir(dir)
	}
}

// quota is how many CPUs our groups allow; zero: as many as there are.
func (a *asker) quota(ctx context.Context, g groups) float64 {
	least := 0.0
	take := func(quota, period string) {
		q, err := strconv.ParseFloat(quota, 64) // "max" and -1 limit nothing
		p, err2 := strconv.ParseFloat(period, 64)
		if err != nil || err2 != nil || q <= 0 || p <= 0 {
			return
		}
		if n := q / p; least == 0 || n < least {
			least = n
		}
	}
	for _, dir := range up(g.v2, g.v2Top) {
		text, _ := a.read(ctx, path.Join(dir, "cpu.max"))
		if f := strings.Fields(text); len(f) == 2 {
			take(f[0], f[1])
		}
	}
	for _, dir := range up(g.v1["cpu"], g.v1Top["cpu"]) {
		q, _ := a.read(ctx, path.Join(dir, "cpu.cfs_quota_us"))
		p, _ := a.read(ctx, path.Join(dir, "cpu.cfs_period_us"))
		take(strings.TrimSpace(q), strings.TrimSpace(p))
	}
	return least
}

// memoryLimit is what our groups allow in bytes, and how much of it is left;
// zero limit: as much as there is.
func (a *asker) memoryLimit(ctx context.Context, g groups) (limit, left int64) {
	left = math.MaxInt64
	take := func(dir, maxFile, usedFile, inactive string) {
		text, _ := a.read(ctx, path.Join(dir, maxFile))
		most, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64) // "max" limits nothing
		if err != nil || most <= 0 || most >= 1<<62 {
			return
		}
		used := int64(0)
		if text, ok := a.read(ctx, path.Join(dir, usedFile)); ok {
			used = number(text)
		}
		stat, _ := a.read(ctx, path.Join(dir, "memory.stat"))
		used -= column(stat, inactive) // page cache that goes when asked
		here := max(0, most-max(0, used))
		if limit == 0 || most < limit {
			limit = most
		}
		left = min(left, here)
	}
	for _, dir := range up(g.v2, g.v2Top) {
		take(dir, "memory.max", "memory.current", "inactive_file")
	}
	for _, dir := range up(g.v1["memory"], g.v1Top["memory"]) {
		take(dir, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
	}
	return limit, left
}

// number reads a whole number; zero when it is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// column is the value of a line "NAME VALUE"; zero when there is none.
func column(text, name string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			return number(f[1])
		}
	}
	return 0
}

// cgroup tells whether the kernel can keep limits of what we start. Nothing is
// changed: where groups could only be made after switching a controller on,
// what decides is whether we may switch it.
func (a *asker) cgroup(ctx context.Context, g groups) Cgroup {
	c := Cgroup{}
	if g.v2 != "" {
		c.Version = 2
		c.Memory, c.CPU = a.offers(ctx, g, "memory"), a.offers(ctx, g, "cpu")
	}
	// As the supervisor does: what v2 has not, v1 may have.
	for controller, kept := range map[string]*bool{"memory": &c.Memory, "cpu": &c.CPU} {
		dir, ok := g.v1[controller]
		if !ok {
			continue
		}
		if c.Version == 2 && !*kept || c.Version == 0 {
			c.Version = 1
		}
		*kept = *kept || a.writable(ctx, dir)
	}
	switch {
	case c.Version == 0:
		c.Why = "this system has no control groups"
	case !c.Memory && !c.CPU:
		c.Why = "no control group can be made by this user"
	case !c.Memory:
		c.Why = "the memory controller is not given to this user"
	case !c.CPU:
		c.Why = "the CPU controller is not given to this user"
	}
	return c
}

// offers reports whether a group with this controller can be made somewhere
// between our own v2 group and the top.
func (a *asker) offers(ctx context.Context, g groups, controller string) bool {
	for _, dir := range up(g.v2, g.v2Top) {
		if !a.writable(ctx, dir) {
			continue
		}
		on, _ := a.read(ctx, path.Join(dir, "cgroup.subtree_control"))
		if slices.Contains(strings.Fields(on), controller) {
			return true
		}
		can, _ := a.read(ctx, path.Join(dir, "cgroup.controllers"))
		if !slices.Contains(strings.Fields(can), controller) || !a.writable(ctx, path.Join(dir, "cgroup.subtree_control")) {
			continue
		}
		// A group with processes of its own cannot switch controllers on for
		// those below, unless it is the root of all.
		procs, _ := a.read(ctx, path.Join(dir, "cgroup.procs"))
		if strings.TrimSpace(procs) == "" || !a.exists(ctx, path.Join(dir, "cgroup.type")) {
			return true
		}
	}
	return false
}
