package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/inventory"
)

// targetPage tells a person of a target, and of what its machine has.
func (c *cli) targetPage(t *controller.TargetInfo, facts *inventory.Inventory) string {
	var rows table
	row := func(name, value string) {
		if value != "" {
			rows.add(plain("  "+name), plain(tidyLine(value)))
		}
	}
	kind := string(t.Kind)
	if t.Instance && t.Config != nil {
		kind += ", a compute instance"
	}
	row("kind", kind)
	if cfg := t.Config; cfg != nil {
		row("address", cfg.Address)
		row("identity", cfg.Identity)
		row("password", string(cfg.Password))
		row("passphrase", string(cfg.Passphrase))
		for _, one := range clusterRows(cfg.Cluster) {
			row(one[0], one[1])
		}
		for _, purpose := range slices.Sorted(maps.Keys(cfg.Secrets)) {
			row(purpose, string(cfg.Secrets[purpose]))
		}
	}
	if cfg := t.Config; cfg != nil && cfg.Micromamba != nil {
		m := cfg.Micromamba
		row("micromamba", fmt.Sprintf("%s, installed from %s (sha256 %s)", m.Version, m.Source, m.SHA256))
	}
	row("host key", t.HostKey)
	if facts != nil {
		for _, one := range machineRows(facts) {
			row(one[0], one[1])
		}
	}
	for _, one := range poolRows(t.Pool) {
		row(one[0], one[1])
	}
	row("nodes", t.PoolMessage)
	row("for runs", givesWords(t))
	row("runs", fmt.Sprintf("%d running, %d waiting", t.Running, t.Waiting))
	row("attached", moment(t.AttachedAt))
	row("checked", moment(t.CheckedAt))
	head := c.out.bold(t.Name) + "  " + c.targetState(t.State).painted + "\n"
	if t.Message != "" {
		head += tidy(t.Message) + "\n"
	}
	return head + rows.render(0) + c.nodeTable(t.Pool)
}

func moment(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Local().Format(time.DateTime)
}

// givesWords say what runs can be given.
func givesWords(t *controller.TargetInfo) string {
	if t.CPUs == 0 {
		return ""
	}
	words := fmt.Sprintf("%g CPUs, %s of memory", t.CPUs, size(t.Memory))
	if n := len(t.GPUs); n > 0 {
		words += ", " + plural(n, "GPU")
	}
	return words
}

// machineRows are what was found on a machine, a name and words each.
func machineRows(inv *inventory.Inventory) [][2]string {
	rows := [][2]string{
		{"machine", fmt.Sprintf("%s, %s, %s %s", inv.Hostname, inv.System.Name, inv.System.Kernel, inv.System.Arch)},
		{"directory", fmt.Sprintf("%s, user id %d", inv.Root, inv.UID)},
		{"CPUs", fmt.Sprintf("%g usable of %d", inv.CPUs.Usable, inv.CPUs.Online)},
		{"memory", size(inv.Memory.Usable)},
		{"disk", fmt.Sprintf("%s free of %s, %s", size(inv.Disk.Free), size(inv.Disk.Total), inv.Disk.FileSystem)},
		{"GPUs", gpuRow(inv)},
		{"Python", pythonRow(inv)},
		{"conda", toolRow(inv.Conda)},
		{"uv", "none"},
		{"Docker", dockerRow(inv)},
	}
	if inv.UV != nil {
		rows[8][1] = strings.TrimSpace(inv.UV.Version + " " + inv.UV.Path)
	}
	if inv.Clock.Known && !inv.Local {
		rows = append(rows, [2]string{"clock", clockWords(inv.Clock.Skew)})
	}
	return rows
}

// clockWords say how far a clock is from ours.
func clockWords(skew float64) string {
	const same = 1 // a busy line makes more of it
	switch {
	case skew > same:
		return fmt.Sprintf("%.1f s ahead of ours", skew)
	case skew < -same:
		return fmt.Sprintf("%.1f s behind ours", -skew)
	}
	return "as ours"
}

func gpuRow(inv *inventory.Inventory) string {
	count := map[string]int{}
	var order []string
	for _, g := range inv.GPUs {
		if count[g.Name] == 0 {
			order = append(order, g.Name)
		}
		count[g.Name]++
	}
	words := make([]string, 0, len(order)+1)
	for _, name := range order {
		words = append(words, fmt.Sprintf("%d x %s", count[name], name))
	}
	if len(words) == 0 {
		return "none"
	}
	for _, driver := range []string{inv.NVIDIA.Driver, inv.AMD.Driver} {
		if driver != "" {
			words = append(words, "driver "+driver)
		}
	}
	return strings.Join(words, ", ")
}

func pythonRow(inv *inventory.Inventory) string {
	var words []string
	for _, p := range inv.Python {
		if p.Error == "" {
			words = append(words, p.Version+" "+p.Path)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func toolRow(list []inventory.Program) string {
	var words []string
	for _, p := range list {
		words = append(words, strings.TrimSpace(p.Name+" "+p.Version))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func dockerRow(inv *inventory.Inventory) string {
	d := inv.Docker
	switch {
	case d.Found && d.Podman:
		return "podman " + d.Version + " " + d.Socket
	case d.Found:
		return d.Version + " " + d.Socket
	case d.Message != "":
		return "none: " + d.Message
	}
	return "none"
}

// warnings are the findings about a machine that need somebody's eye.
func (c *cli) warnings(facts *inventory.Inventory) string {
	if facts == nil {
		return ""
	}
	d := &diagnosis{}
	for _, f := range inventory.Diagnose(facts) {
		if f.Level == inventory.Warning || f.Level == inventory.Problem {
			d.Findings = append(d.Findings, f)
		}
	}
	if len(d.Findings) == 0 {
		return ""
	}
	return "\n" + c.findings(d)
}
