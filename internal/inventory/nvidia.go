package inventory

import (
	"context"
	"errors"
	"strings"
)

// nvidiaPlaces are where nvidia-smi is when PATH does not lead to it: WSL, and
// a remote command's short PATH.
var nvidiaPlaces = []string{"/usr/bin", "/usr/local/bin", "/usr/local/nvidia/bin", "/usr/lib/wsl/lib", "/opt/bin"}

// nvidia asks nvidia-smi.
func (a *asker) nvidia(ctx context.Context) gpuAnswer {
	tool := a.first(ctx, "nvidia-smi", nvidiaPlaces...)
	if tool == "" {
		return gpuAnswer{}
	}
	s, err := a.run(ctx, tool, "-q", "-x")
	if err == nil {
		answer, parseErr := parseNVIDIA([]byte(s.out.String()))
		if parseErr == nil {
			a.nameInstances(ctx, tool, &answer)
			return answer
		}
		err = parseErr
		s = &said{}
	}
	first := nvidiaFault(s, err)
	if first.Kind != FaultFailed && first.Kind != FaultDevice {
		return gpuAnswer{faults: []Fault{first}}
	}
	if strings.Contains(strings.ToLower(first.Message), "no devices were found") {
		return gpuAnswer{faults: []Fault{first}}
	}
	// Something in the long answer is wrong; the short one may still come.
	const fields = "index,uuid,name,memory.total,pci.bus_id,driver_version"
	s, err = a.run(ctx, tool, "--query-gpu="+fields, "--format=csv,noheader,nounits")
	if err != nil && !strings.Contains(s.out.String(), "GPU-") {
		return gpuAnswer{faults: []Fault{first}}
	}
	answer := parseNVIDIACSV(s.out.String())
	if first.Kind == FaultDevice || len(answer.gpus) == 0 {
		answer.faults = append(answer.faults, first)
	}
	a.nameInstances(ctx, tool, &answer)
	return answer
}

// nameInstances fills in the ids of MIG instances, which only nvidia-smi -L
// has with most drivers.
func (a *asker) nameInstances(ctx context.Context, tool string, answer *gpuAnswer) {
	short := false // after the short answer we do not know who is divided
	for _, g := range answer.gpus {
		short = short || g.MIG || answer.nvidia.CUDA == ""
	}
	if !short {
		return
	}
	s, err := a.run(ctx, tool, "-L")
	listed := parseNVIDIAList(s.out.String())
	if err != nil && len(listed) == 0 {
		if !errors.Is(err, errHung) {
			return // the ids made of numbers are good as well
		}
		answer.faults = append(answer.faults, faultOf(subjectGPU, "nvidia-smi -L", s, err))
		return
	}
	for i := range answer.gpus {
		nameFrom(&answer.gpus[i], listed[answer.gpus[i].UUID])
	}
}

// nvidiaFault tells what an nvidia-smi that failed means.
func nvidiaFault(s *said, err error) Fault {
	f := faultOf(subjectGPU, "nvidia-smi", s, err)
	if f.Kind == FaultHung {
		return f
	}
	// Its last words are on standard output, and sometimes before them is a
	// part of an answer.
	if out := strings.TrimSpace(s.out.String()); out != "" {
		f.Message = oneLine(out)
		for line := range strings.Lines(out) {
			if kind := nvidiaKind(line); kind != FaultFailed {
				f.Message = oneLine(line)
				break
			}
		}
	}
	f.Kind = nvidiaKind(f.Message)
	return f
}

// nvidiaPhrases tell kinds of failure apart by what nvidia-smi says.
var nvidiaPhrases = []struct {
	text string
	kind FaultKind
}{
	{"couldn't communicate with the nvidia driver", FaultDriver},
	{"driver/library version mismatch", FaultMismatch},
	{"driver not loaded", FaultDriver},
	{"couldn't find libnvidia-ml", FaultDriver},
	{"nvml shared library", FaultDriver},
	{"insufficient permissions", FaultDenied},
	{"no permission", FaultDenied},
	{"gpu is lost", FaultDevice},
	{"fallen off the bus", FaultDevice},
	{"unable to determine the device handle", FaultDevice},
	{"gpu requires reset", FaultDevice},
	{"no devices were found", FaultDevice},
	{"gpu access blocked by the operating system", FaultDriver},
	{"unknown error", FaultDevice},
}

func nvidiaKind(text string) FaultKind {
	text = strings.ToLower(text)
	for _, p := range nvidiaPhrases {
		if strings.Contains(text, p.text) {
			return p.kind
		}
	}
	return FaultFailed
}
