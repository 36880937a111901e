package inventory

import (
	"context"
	"fmt"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
)

// Probe asks only for what Size and Driver tell: CPUs, memory and GPUs, and
// Faults for GPUs that cannot be asked. Where no GPU is, no tool is run.
func Probe(ctx context.Context, h host.Host) (*Inventory, error) {
	a := newAsker(h, 0)
	platform, err := h.Platform(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask what the machine is: %w", err)
	}
	groups := a.groups(ctx)
	inv := &Inventory{
		Hostname: platform.Hostname, Local: a.local, Root: h.Root(), UID: platform.UID,
		System: System{OS: platform.OS, Arch: platform.Arch},
		CPUs:   a.cpus(ctx, groups), Memory: a.memory(ctx, groups),
	}
	inv.take(a.gpus(ctx, false))
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("ask what the machine has: %w", err)
	}
	return inv, nil
}

// Size is what a host has to give to runs. GPUs that cannot be asked for are
// none; Probe says why.
func Size(ctx context.Context, h host.Host) (backends.Size, error) {
	inv, err := Probe(ctx, h)
	if err != nil {
		return backends.Size{}, err
	}
	return inv.Size(), nil
}

// Size is what the machine has to give to runs. GPUs are those that work: of a
// divided one its instances, none of one that keeps processes out, that the
// driver wants reset or that is only there for a display.
func (inv *Inventory) Size() backends.Size {
	s := backends.Size{CPUs: inv.CPUs.Usable, Memory: inv.Memory.Usable}
	for _, g := range inv.GPUs {
		if g.usable() {
			s.GPUs = append(s.GPUs, g.units()...)
		}
	}
	return s
}

// usable: a run would find it working and worth having.
func (g GPU) usable() bool { return g.ComputeMode != "Prohibited" && g.Recovery == "" && !g.Small }

// Driver is the version of the NVIDIA driver ("550.54.15"), by which the base
// image is chosen; empty: there is none, or it does not work.
func (inv *Inventory) Driver() string { return inv.NVIDIA.Driver }

// Devices are the device files that a container needs for the GPU with this
// id (AMD); none for others.
func (inv *Inventory) Devices(id string) []string {
	for _, g := range inv.GPUs {
		if g.ID == id && g.Vendor == vendorAMD {
			return g.Devices
		}
	}
	return nil
}
