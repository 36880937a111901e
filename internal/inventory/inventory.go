package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
)

// Inventory is what a machine has, as a process of ours finds it.
type Inventory struct {
	Hostname string `json:"hostname"`
	// Local: it is this computer.
	Local bool `json:"local"`
	// Root is the directory under which everything of ours lies.
	Root string `json:"root"`
	// UID that our files and processes have.
	UID    int    `json:"uid"`
	System System `json:"system"`
	CPUs   CPUs   `json:"cpus"`
	Memory Memory `json:"memory"`
	Disk   Disk   `json:"disk"`
	Cgroup Cgroup `json:"cgroup"`
	Limits Limits `json:"limits"`
	Clock  Clock  `json:"clock"`
	// GPUs in the order of their vendor's own numbers, NVIDIA's first.
	GPUs   []GPU     `json:"gpus"`
	NVIDIA NVIDIA    `json:"nvidia"`
	AMD    AMD       `json:"amd"`
	Python []Python  `json:"python"`
	Conda  []Program `json:"conda"`
	// UV and Git are nil where there is none.
	UV     *Program `json:"uv"`
	Git    *Program `json:"git"`
	Docker Docker   `json:"docker"`
	// Faults are questions that got no answer.
	Faults []Fault `json:"faults"`
}

// FaultKind is why a question got no answer: a closed list.
type FaultKind string

// The kinds of fault.
const (
	// FaultHung: the tool did not end in time.
	FaultHung FaultKind = "hung"
	// FaultDriver: the tool cannot talk to the kernel's driver.
	FaultDriver FaultKind = "driver"
	// FaultMismatch: the driver and its library are of different versions.
	FaultMismatch FaultKind = "version_mismatch"
	// FaultDevice: a device is there and does not work.
	FaultDevice FaultKind = "device"
	// FaultDenied: we may not ask.
	FaultDenied FaultKind = "denied"
	// FaultNoTool: the hardware is there, its tool or driver is not.
	FaultNoTool FaultKind = "no_tool"
	// FaultFailed: anything else.
	FaultFailed FaultKind = "failed"
)

// Fault is a question that got no answer.
type Fault struct {
	// Subject is what it was about, for example "GPU".
	Subject string    `json:"subject"`
	Kind    FaultKind `json:"kind"`
	// Tool that was asked, for example "nvidia-smi".
	Tool string `json:"tool"`
	// Message is what the tool said, on one line.
	Message string `json:"message"`
}

// EngineInfo is what a Docker engine says of itself.
type EngineInfo struct {
	// Socket of the engine on its host.
	Socket string
	Info   container.Info
}

// Options of Take. The zero value asks everything.
type Options struct {
	// Docker asks the host's engine. Nil: with internal/container.
	Docker func(ctx context.Context) (EngineInfo, error)
	// ToolTimeout is how long one tool may take; zero: 10 seconds.
	ToolTimeout time.Duration
}

// Take asks a host for all it has. Only a host that cannot be asked at all, or
// a context that ended, is an error; all else is in the Inventory.
func Take(ctx context.Context, h host.Host, o Options) (*Inventory, error) {
	a := newAsker(h, o.ToolTimeout)
	platform, err := h.Platform(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask what the machine is: %w", err)
	}
	inv := &Inventory{
		Hostname: platform.Hostname, Local: a.local, Root: h.Root(), UID: platform.UID,
	}
	docker := o.Docker
	if docker == nil {
		docker = func(ctx context.Context) (EngineInfo, error) { return askEngine(ctx, h) }
	}
	var (
		wait sync.WaitGroup
		gpu  gpuAnswer
	)
	for _, ask := range []func(){
		func() { a.machine(ctx, platform, inv) },
		func() { gpu = a.gpus(ctx, true) },
		func() { inv.Python = a.pythons(ctx, platform.Home) },
		func() { inv.Conda, inv.UV, inv.Git = a.programs(ctx, platform.Home, h.Root()) },
		func() { inv.Docker = a.docker(ctx, docker) },
		func() { inv.Clock = a.clock(ctx) },
	} {
		wait.Go(ask)
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("ask what the machine has: %w", err)
	}
	inv.take(gpu)
	// An empty list is [] in JSON, not null.
	inv.GPUs, inv.Python, inv.Conda = some(inv.GPUs), some(inv.Python), some(inv.Conda)
	inv.Faults, inv.System.Family = some(inv.Faults), some(inv.System.Family)
	return inv, nil
}

// some is a list that is not nil.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// machine fills in what is known without asking a tool.
func (a *asker) machine(ctx context.Context, p host.Platform, inv *Inventory) {
	groups := a.groups(ctx)
	inv.System = a.system(ctx, p)
	inv.CPUs = a.cpus(ctx, groups)
	inv.Memory = a.memory(ctx, groups)
	inv.Disk = a.disk(ctx, a.host.Root())
	inv.Cgroup = a.cgroup(ctx, groups)
	inv.Limits = a.limits(ctx)
}

// take adds what is known of GPUs.
func (inv *Inventory) take(g gpuAnswer) {
	inv.GPUs, inv.NVIDIA, inv.AMD = g.gpus, g.nvidia, g.amd
	inv.Faults = append(inv.Faults, g.faults...)
}

// faultOf tells what a tool that failed means.
func faultOf(subject, tool string, s *said, err error) Fault {
	f := Fault{Subject: subject, Tool: tool, Kind: FaultFailed, Message: s.words()}
	if f.Message == "" {
		f.Message = oneLine(err.Error())
	}
	if errors.Is(err, errHung) {
		f.Kind, f.Message = FaultHung, "it does not answer"
	}
	return f
}
