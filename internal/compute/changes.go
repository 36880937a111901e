package compute

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/runnerml/runner/internal/inventory"
)

// Facts are what was found on a machine.
type Facts = inventory.Inventory

// DecodeFacts reads what was stored; nil: nothing was.
func DecodeFacts(data []byte) (*inventory.Inventory, error) {
	if len(data) == 0 || string(data) == "{}" {
		return nil, nil
	}
	var inv inventory.Inventory
	if err := json.Unmarshal(data, &inv); err != nil {
		return nil, fmt.Errorf("read what was found on a target: %w", err)
	}
	return &inv, nil
}

// clockDrift is how far a clock may wander before it is a change, in seconds.
const clockDrift = 5

// Changes says, a line each, what is other on a machine than it was. What
// changes all the time (free memory and disk) is left out.
func Changes(before, now *inventory.Inventory) []string {
	changes := []string{}
	if before == nil || now == nil {
		return changes
	}
	was, is := traits(before), traits(now)
	for i := range was {
		if was[i].value != is[i].value {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", was[i].name, orNone(was[i].value), orNone(is[i].value)))
		}
	}
	if a, b := before.Clock, now.Clock; a.Known && b.Known && math.Abs(a.Skew-b.Skew) > clockDrift {
		changes = append(changes, fmt.Sprintf("clock: %s -> %s", skewWords(a.Skew), skewWords(b.Skew)))
	}
	return changes
}

func skewWords(seconds float64) string {
	if seconds < 0 {
		return fmt.Sprintf("%.0f s behind ours", -seconds)
	}
	return fmt.Sprintf("%.0f s ahead of ours", seconds)
}

type trait struct{ name, value string }

// traits are what a machine is known by, in an order that never changes.
func traits(inv *inventory.Inventory) []trait {
	docker := ""
	if d := inv.Docker; d.Found {
		docker = strings.TrimSpace(d.Version)
		if d.Podman {
			docker = "podman " + docker
		}
	}
	return []trait{
		{"host name", inv.Hostname},
		{"directory", inv.Root},
		{"user id", fmt.Sprint(inv.UID)},
		{"system", inv.System.Name},
		{"kernel", inv.System.Kernel},
		{"architecture", inv.System.Arch},
		{"CPUs", fmt.Sprint(inv.CPUs.Usable)},
		{"memory", humanize.IBytes(uint64(max(0, inv.Memory.Usable)))},
		{"disk", humanize.IBytes(uint64(max(0, inv.Disk.Total)))},
		{"GPUs", gpuWords(inv)},
		{"NVIDIA driver", inv.NVIDIA.Driver},
		{"AMD driver", inv.AMD.Driver},
		{"Python", pythonWords(inv)},
		{"conda tools", programWords(inv.Conda)},
		{"uv", optional(inv.UV)},
		{"Docker", docker},
	}
}

func gpuWords(inv *inventory.Inventory) string {
	var words []string
	for _, g := range inv.GPUs {
		words = append(words, strings.TrimSpace(g.Name+" "+g.ID))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func pythonWords(inv *inventory.Inventory) string {
	var words []string
	for _, p := range inv.Python {
		if p.Error == "" {
			words = append(words, p.Path+" "+p.Version)
		}
	}
	return strings.Join(words, ", ")
}

func programWords(list []inventory.Program) string {
	var words []string
	for i := range list {
		words = append(words, optional(&list[i]))
	}
	return strings.Join(words, ", ")
}

func optional(p *inventory.Program) string {
	if p == nil {
		return ""
	}
	return strings.TrimSpace(p.Name + " " + p.Version)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
