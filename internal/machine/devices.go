package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/inventory"
)

// probe remembers what the host has: to ask runs tools that take a second.
type probe struct {
	ask func(ctx context.Context) (*inventory.Inventory, error)

	mu   sync.Mutex
	last *inventory.Inventory
}

// fresh asks now.
func (p *probe) fresh(ctx context.Context) (*inventory.Inventory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inv, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	p.last = inv
	return inv, nil
}

// known is what was answered last.
func (p *probe) known(ctx context.Context) (*inventory.Inventory, error) {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	if last != nil {
		return last, nil
	}
	return p.fresh(ctx)
}

// Size is what the host has to give to attempts.
func (m *Machine) Size(ctx context.Context) (backends.Size, error) {
	inv, err := m.probe.fresh(ctx)
	if err != nil {
		return backends.Size{}, fmt.Errorf("size of machine: %w", err)
	}
	return inv.Size(), nil
}

// driver is the version of the host's NVIDIA driver.
func (m *Machine) driver(ctx context.Context) (string, error) {
	inv, err := m.probe.known(ctx)
	if err != nil {
		return "", err
	}
	return inv.Driver(), nil
}

const (
	nvidia = "nvidia"
	amd    = "amd"
)

// vendorOf a device that was given; one that is gone since counts as NVIDIA's.
func vendorOf(inv *inventory.Inventory, id string) string {
	for _, g := range inv.Size().GPUs {
		if g.ID == id {
			return g.Vendor
		}
	}
	return nvidia
}

// deviceVariables let a process see its own GPUs and no others.
func (m *Machine) deviceVariables(ctx context.Context, ids []string) (map[string]string, error) {
	inv, err := m.probe.known(ctx)
	if err != nil {
		return nil, err
	}
	byVendor := map[string][]string{}
	for _, g := range inv.GPUs {
		byVendor[g.Vendor] = nil // there, and hidden unless it is given
	}
	for _, id := range ids {
		vendor := vendorOf(inv, id)
		byVendor[vendor] = append(byVendor[vendor], id)
	}
	env := map[string]string{}
	if own, ok := byVendor[nvidia]; ok {
		env["CUDA_VISIBLE_DEVICES"] = strings.Join(own, ",")
		env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID" // indexes as nvidia-smi counts
	}
	if own, ok := byVendor[amd]; ok {
		// Only one of HIP_ and ROCR_VISIBLE_DEVICES: indexes in the first count
		// what the second leaves.
		env["HIP_VISIBLE_DEVICES"] = strings.Join(own, ",")
		if len(own) == 0 {
			env["HIP_VISIBLE_DEVICES"] = "-1"
		}
	}
	return env, nil
}

// containerGPUs are the devices of an allocation, for a container. In it they
// are the only ones, so no variable is needed.
func (m *Machine) containerGPUs(ctx context.Context, ids []string) ([]container.GPU, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	inv, err := m.probe.known(ctx)
	if err != nil {
		return nil, err
	}
	gpus := make([]container.GPU, 0, len(ids))
	for _, id := range ids {
		gpus = append(gpus, container.GPU{ID: id, Vendor: vendorOf(inv, id), Devices: slices.Clone(inv.Devices(id))})
	}
	return gpus, nil
}
