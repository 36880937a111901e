package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	kfdNodes = "/sys/class/kfd/kfd/topology/nodes"
	// kfdPublic and kfdPrivate are the kinds of a memory bank that are the
	// GPU's own.
	kfdPublic, kfdPrivate = 1, 2
	// fewUnits is how many compute units a GPU has that is worth having: the
	// graphics part of a desktop processor has two. HIP counts those as well.
	fewUnits = 8
)

// amdPlaces are where ROCm's tools are when PATH does not lead to them.
var amdPlaces = []string{"/opt/rocm/bin", "/usr/bin"}

// amd asks the kernel's compute driver, which numbers GPUs as HIP does. (The
// tools number them by their place on the bus, and HIP_VISIBLE_DEVICES does not
// mean that.) The tools add names, and stand in where the driver's files cannot
// be read.
func (a *asker) amd(ctx context.Context, thorough bool) gpuAnswer {
	entries, err := a.host.ReadDir(ctx, kfdNodes)
	if err != nil {
		if missing(err) && !thorough {
			return gpuAnswer{}
		}
		return a.amdTools(ctx, missing(err))
	}
	answer := gpuAnswer{gpus: a.kfd(ctx, entries)}
	if len(answer.gpus) == 0 {
		return answer
	}
	if text, ok := a.read(ctx, "/sys/module/amdgpu/version"); ok {
		answer.amd.Driver = strings.TrimSpace(text)
	}
	if text, ok := a.read(ctx, "/opt/rocm/.info/version"); ok {
		answer.amd.ROCm = strings.TrimSpace(text)
	}
	if !a.writable(ctx, "/dev/kfd") {
		answer.faults = append(answer.faults, Fault{
			Subject: subjectGPU, Kind: FaultDenied, Tool: "/dev/kfd", Message: "this user may not open /dev/kfd",
		})
		answer.gpus = nil
		return answer
	}
	if thorough {
		a.nameAMD(ctx, &answer)
	}
	return answer
}

// kfd reads the driver's nodes. Those that are not ours to use (a container's
// or a cgroup's bounds) cannot be read, and HIP does not count them either.
func (a *asker) kfd(ctx context.Context, entries []fs.DirEntry) []GPU {
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var gpus []GPU
	for _, n := range numbers {
		dir := path.Join(kfdNodes, strconv.Itoa(n))
		id, _ := a.read(ctx, path.Join(dir, "gpu_id"))
		if number(id) == 0 {
			continue // a processor
		}
		text, ok := a.read(ctx, path.Join(dir, "properties"))
		if !ok {
			continue
		}
		g, ok := parseKFD(text)
		if !ok {
			continue
		}
		g.Index, g.ID = len(gpus), strconv.Itoa(len(gpus))
		g.Memory = a.kfdMemory(ctx, dir)
		if g.Name = "AMD " + g.Architecture; len(g.Devices) > 0 {
			product := path.Join("/sys/class/drm", path.Base(g.Devices[0]), "device/product_name")
			if name, ok := a.read(ctx, product); ok && strings.TrimSpace(name) != "" {
				g.Name = strings.TrimSpace(name)
			}
		}
		gpus = append(gpus, g)
	}
	return gpus
}

func (a *asker) kfdMemory(ctx context.Context, dir string) int64 {
	banks, err := a.host.ReadDir(ctx, path.Join(dir, "mem_banks"))
	if err != nil {
		return 0
	}
	total := int64(0)
	for _, b := range banks {
		text, _ := a.read(ctx, path.Join(dir, "mem_banks", b.Name(), "properties"))
		if kind := column(text, "heap_type"); kind == kfdPublic || kind == kfdPrivate {
			total += column(text, "size_in_bytes")
		}
	}
	return total
}

// nameAMD gives GPUs that have no name yet those that the tools know.
func (a *asker) nameAMD(ctx context.Context, answer *gpuAnswer) {
	nameless := func(g GPU) bool { return g.Name == "AMD "+g.Architecture }
	if !slices.ContainsFunc(answer.gpus, nameless) {
		return
	}
	named := a.amdTools(ctx, true)
	answer.faults = append(answer.faults, named.faults...)
	answer.amd.Driver = cmp.Or(answer.amd.Driver, named.amd.Driver)
	for i, g := range answer.gpus {
		for _, n := range named.gpus {
			if n.PCI != "" && n.PCI == g.PCI && n.Name != "" && nameless(g) {
				answer.gpus[i].Name = n.Name
			}
		}
	}
}

// amdTools asks amd-smi, else rocm-smi. quiet: none of them there is fine.
func (a *asker) amdTools(ctx context.Context, quiet bool) gpuAnswer {
	var faults []Fault
	for _, t := range []struct {
		name  string
		args  []string
		parse func([]byte) (gpuAnswer, error)
	}{
		{"amd-smi", []string{"static", "--asic", "--bus", "--vram", "--driver", "--json"}, parseAMDSMI},
		{"rocm-smi", []string{"--showproductname", "--showbus", "--showmeminfo", "vram", "--showuniqueid", "--showdriverversion", "--json"}, parseROCmSMI},
	} {
		tool := a.first(ctx, t.name, amdPlaces...)
		if tool == "" {
			continue
		}
		s, err := a.run(ctx, append([]string{tool}, t.args...)...)
		if err == nil {
			answer, parseErr := t.parse([]byte(s.out.String()))
			if parseErr == nil {
				return answer
			}
			err, s = parseErr, &said{}
		}
		faults = append(faults, faultOf(subjectGPU, t.name, s, err))
		if errors.Is(err, errHung) {
			break
		}
	}
	if len(faults) == 0 && !quiet {
		faults = []Fault{{Subject: subjectGPU, Kind: FaultDenied, Tool: kfdNodes, Message: "the AMD driver's files cannot be read"}}
	}
	return gpuAnswer{faults: faults}
}

// parseKFD reads a node's properties.
func parseKFD(text string) (GPU, bool) {
	if column(text, "simd_count") <= 0 {
		return GPU{}, false
	}
	g := GPU{Vendor: vendorAMD, Architecture: gfx(column(text, "gfx_target_version"))}
	location := column(text, "location_id")
	g.PCI = fmt.Sprintf("%04x:%02x:%02x.%x", column(text, "domain"), location>>8&0xff, location>>3&0x1f, location&7)
	if perUnit := column(text, "simd_per_cu"); perUnit > 0 {
		g.Small = column(text, "simd_count")/perUnit < fewUnits
	}
	if minor := column(text, "drm_render_minor"); minor > 0 {
		g.Devices = []string{fmt.Sprintf("/dev/dri/renderD%d", minor)}
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "unique_id" {
			// It does not fit a signed number.
			if id, err := strconv.ParseUint(f[1], 10, 64); err == nil && id != 0 {
				g.UUID = fmt.Sprintf("GPU-%016x", id)
			}
		}
	}
	return g, true
}

// gfx is the name of a target: 90402 is gfx942, 90010 is gfx90a.
func gfx(target int64) string {
	if target <= 0 {
		return "GPU"
	}
	return fmt.Sprintf("gfx%d%x%x", target/10000, target/100%100, target%100)
}
