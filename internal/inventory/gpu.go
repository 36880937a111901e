package inventory

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/runnerml/runner/backends"
)

// The vendors, as backends.GPU names them.
const (
	vendorNVIDIA = "nvidia"
	vendorAMD    = "amd"
)

// GPU is a graphics processor.
type GPU struct {
	Vendor string `json:"vendor"`
	// Index is the vendor's own number of it.
	Index int `json:"index"`
	// ID as CUDA_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES takes it.
	ID string `json:"id"`
	// UUID that stays the same over reboots; empty: it has none.
	UUID string `json:"uuid"`
	Name string `json:"name"`
	// Architecture, for example "Hopper" or "gfx942"; empty: unknown.
	Architecture string `json:"architecture"`
	// Memory in bytes; zero: unknown, or shared with the machine.
	Memory int64 `json:"memory"`
	// PCI address, for example "0000:19:00.0".
	PCI string `json:"pci"`
	// MIG: the GPU is divided, and its Instances are what can be used.
	MIG       bool       `json:"mig"`
	Instances []Instance `json:"instances,omitempty"`
	// Devices are the device files that a container needs (AMD).
	Devices []string `json:"devices,omitempty"`
	// Small: it is there for a display (the graphics part of a processor), and
	// no run is given it.
	Small bool `json:"small,omitempty"`
	// ComputeMode when it keeps processes out: "Exclusive_Process",
	// "Prohibited"; else empty.
	ComputeMode string `json:"compute_mode,omitempty"`
	// Recovery is what the driver wants done before the GPU works again, for
	// example "Reset"; else empty.
	Recovery string `json:"recovery,omitempty"`
}

// Instance is a part of a divided GPU (MIG).
type Instance struct {
	// ID as CUDA_VISIBLE_DEVICES takes it.
	ID string `json:"id"`
	// Profile, for example "3g.20gb"; empty: unknown.
	Profile string `json:"profile"`
	// Memory in bytes; zero: unknown.
	Memory int64 `json:"memory"`
	// GPUInstance and ComputeInstance are the driver's numbers.
	GPUInstance     int `json:"gpu_instance"`
	ComputeInstance int `json:"compute_instance"`
}

// NVIDIA is the machine's NVIDIA driver.
type NVIDIA struct {
	// Driver version, for example "550.54.15"; empty: none was found.
	Driver string `json:"driver"`
	// CUDA is the newest version that the driver runs; empty: unknown.
	CUDA string `json:"cuda"`
}

// AMD is the machine's AMD driver.
type AMD struct {
	// Driver is the kernel module's version; empty: none, or the kernel's own.
	Driver string `json:"driver"`
	// ROCm version that is installed; empty: none.
	ROCm string `json:"rocm"`
}

// units are what can be given to a run of this GPU.
func (g GPU) units() []backends.GPU {
	if !g.MIG {
		return []backends.GPU{{ID: g.ID, Vendor: g.Vendor, Name: g.Name, Memory: g.Memory}}
	}
	var out []backends.GPU
	for _, i := range g.Instances {
		name := g.Name + " MIG"
		if i.Profile != "" {
			name += " " + i.Profile
		}
		out = append(out, backends.GPU{ID: i.ID, Vendor: g.Vendor, Name: name, Memory: i.Memory})
	}
	return out
}

// gpuAnswer is what was found out about GPUs.
type gpuAnswer struct {
	gpus   []GPU
	nvidia NVIDIA
	amd    AMD
	faults []Fault
}

// gpus asks for the machine's GPUs. thorough also looks for hardware that no
// driver serves and for names.
func (a *asker) gpus(ctx context.Context, thorough bool) gpuAnswer {
	n, r := a.nvidia(ctx), a.amd(ctx, thorough)
	all := gpuAnswer{
		gpus: append(n.gpus, r.gpus...), nvidia: n.nvidia, amd: r.amd,
		faults: append(n.faults, r.faults...),
	}
	if thorough {
		all.faults = append(all.faults, a.unserved(ctx, n, r)...)
	}
	return all
}

// PCI vendors and the first digits of the class of displays and accelerators.
const (
	pciNVIDIA = "0x10de"
	pciAMD    = "0x1002"
)

// unserved tells of GPUs on the bus when their vendor's tool said nothing at
// all. (Of an AMD one only compute boards count: class 0x12 or 0x0380. Every
// desktop has some AMD graphics that nobody means to train on.)
func (a *asker) unserved(ctx context.Context, n, r gpuAnswer) []Fault {
	askN, askA := len(n.gpus)+len(n.faults) == 0, len(r.gpus)+len(r.faults) == 0
	if !askN && !askA {
		return nil
	}
	const dir = "/sys/bus/pci/devices"
	entries, err := a.host.ReadDir(ctx, dir)
	if err != nil {
		return nil
	}
	count := map[string]int{}
	for _, e := range entries {
		vendor, _ := a.read(ctx, path.Join(dir, e.Name(), "vendor"))
		vendor = strings.TrimSpace(vendor)
		if vendor != pciNVIDIA && vendor != pciAMD {
			continue
		}
		class, _ := a.read(ctx, path.Join(dir, e.Name(), "class"))
		compute := strings.HasPrefix(class, "0x12") || strings.HasPrefix(class, "0x0380")
		if compute || vendor == pciNVIDIA && (strings.HasPrefix(class, "0x0302") || strings.HasPrefix(class, "0x0300")) {
			count[vendor]++
		}
	}
	var out []Fault
	if c := count[pciNVIDIA]; c > 0 && askN {
		out = append(out, Fault{
			Subject: subjectGPU, Kind: FaultNoTool, Tool: "nvidia-smi",
			Message: fmt.Sprintf("%s on the PCI bus and no nvidia-smi", many(c, "NVIDIA GPU")),
		})
	}
	if c := count[pciAMD]; c > 0 && askA {
		out = append(out, Fault{
			Subject: subjectGPU, Kind: FaultNoTool, Tool: "amdgpu",
			Message: fmt.Sprintf("%s on the PCI bus and no AMD compute driver (/sys/class/kfd)", many(c, "AMD GPU")),
		})
	}
	return out
}

// many is a number and a noun.
func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
