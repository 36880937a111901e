package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/runnerml/runner/environment"
)

func diagnoseGPU(inv *Inventory) []Finding {
	var out []Finding
	for _, f := range inv.Faults {
		if f.Subject == subjectGPU {
			out = append(out, gpuFault(f))
		}
	}
	if len(inv.GPUs) == 0 {
		if len(out) == 0 {
			out = append(out, Finding{
				Subject: subjectGPU, Level: Note, What: "no GPU was found",
				Means: "runs that ask for GPUs are refused on this machine; all others run",
			})
		}
		return out
	}
	for _, g := range inv.GPUs {
		out = append(out, oneGPU(g))
	}
	if slices.ContainsFunc(inv.GPUs, func(g GPU) bool { return g.Vendor == vendorNVIDIA }) {
		out = append(out, diagnoseDriver(inv)...)
		if d := inv.Docker; d.Found && !d.NVIDIA {
			out = append(out, Finding{
				Subject: subjectGPU, Level: Warning, What: "the NVIDIA container toolkit is not set up in the container engine",
				Means: "runs with GPUs work as plain processes, not in containers",
				Hint:  "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker, and restart Docker",
			})
		}
	}
	return out
}

// oneGPU tells what a GPU is good for.
func oneGPU(g GPU) Finding {
	what := fmt.Sprintf("GPU %d: %s", g.Index, g.Name)
	if g.Memory > 0 {
		what += ", " + bytesOf(g.Memory)
	}
	f := Finding{Subject: subjectGPU, Level: OK, What: what, Means: "one run at a time is given it"}
	switch {
	case g.Small:
		f.Level, f.Means = Note, "it is a processor's graphics part, too small to train on: no run is given it"
	case g.Recovery != "":
		f.Level, f.What = Problem, what+": the driver asks for "+strings.ToLower(g.Recovery)
		f.Means = "it does not work until then, and no run is given it"
		f.Hint = "end what uses it, then nvidia-smi --gpu-reset, or reboot"
	case g.ComputeMode == "Prohibited":
		f.Level, f.What = Warning, what+": compute mode Prohibited"
		f.Means = "no process may use it, and no run is given it"
		f.Hint = fmt.Sprintf("sudo nvidia-smi -i %d -c DEFAULT", g.Index)
	case g.MIG && len(g.Instances) == 0:
		f.Level, f.What = Warning, what+": MIG is on, without instances"
		f.Means = "no run can use it: a GPU with MIG is used by its instances only"
		f.Hint = fmt.Sprintf("make instances (sudo nvidia-smi mig -cgi PROFILE -C), or switch MIG off (sudo nvidia-smi -i %d -mig 0)", g.Index)
	case g.MIG:
		var profiles []string
		for _, i := range g.Instances {
			profiles = append(profiles, i.Profile)
		}
		f.What = fmt.Sprintf("%s, %s", what, many(len(g.Instances), "MIG instance"))
		if list := strings.Join(profiles, ", "); strings.Trim(list, ", ") != "" {
			f.What += " (" + list + ")"
		}
		f.Means = "each instance counts as one GPU and is given to one run; a process can use one instance only"
	case g.ComputeMode != "":
		f.Level, f.What = Note, what+": compute mode "+g.ComputeMode
		f.Means = "one process of a run can use it; scripts that start several on one GPU fail"
		f.Hint = fmt.Sprintf("sudo nvidia-smi -i %d -c DEFAULT", g.Index)
	}
	return f
}

// diagnoseDriver tells which of the built-in images the driver can run.
func diagnoseDriver(inv *Inventory) []Finding {
	driver := inv.Driver()
	var newest environment.BaseImage
	for _, b := range environment.BaseImages() {
		if b.CUDA != "" && (newest.CUDA == "" || newer(b.MinDriver, newest.MinDriver)) {
			newest = b
		}
	}
	what := "NVIDIA driver " + driver
	if inv.NVIDIA.CUDA != "" {
		what += ", CUDA up to " + inv.NVIDIA.CUDA
	}
	f := Finding{Subject: subjectGPU, Level: OK, What: what}
	reference, err := environment.ChooseBase("gpu", environment.BaseImages(), driver)
	var base *environment.BaseError
	switch {
	case driver == "":
		f.Level, f.What = Warning, "the version of the NVIDIA driver is not known"
		f.Means, f.Hint = "docker.image: gpu cannot choose an image", "name an image in docker.image"
	case errors.As(err, &base):
		f.Level, f.Means, f.Hint = Warning, "too old for every image that docker.image: gpu stands for", base.Hint
	case err != nil:
		f.Level, f.Means = Warning, err.Error()
	case reference == newest.Reference:
		f.Means = "docker.image: gpu means " + reference
	default:
		f.Level = Note
		f.Means = fmt.Sprintf("docker.image: gpu means %s here; the newest, with CUDA %s, needs driver %s", reference, newest.CUDA, newest.MinDriver)
		f.Hint = "update the driver when a framework asks for a newer CUDA"
	}
	return []Finding{f}
}

// newer compares dotted numbers.
func newer(a, b string) bool {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(left), len(right)) {
		var l, r int64
		if i < len(left) {
			l = number(left[i])
		}
		if i < len(right) {
			r = number(right[i])
		}
		if l != r {
			return l > r
		}
	}
	return false
}

// gpuFault tells what a GPU that could not be asked means.
func gpuFault(fault Fault) Finding {
	f := Finding{
		Subject: subjectGPU, Level: Problem, What: fault.Tool + ": " + fault.Message,
		Means: "its GPUs are not offered to runs",
	}
	low := strings.ToLower(fault.Message)
	switch fault.Kind {
	case FaultHung:
		f.Means = "the driver is stuck, mostly by a failing GPU; GPUs are not offered to runs"
		f.Hint = "look for Xid errors in dmesg; a reboot mostly helps"
	case FaultDriver:
		f.Means = "the NVIDIA driver is not loaded: GPUs are not offered to runs"
		f.Hint = "after a kernel update the driver's module must be built again (dkms autoinstall, or reinstall the driver); with Secure Boot it must be signed"
	case FaultMismatch:
		f.Means = "the driver was updated and the old one is still loaded: no new process can use a GPU"
		f.Hint = "reboot, or unload and load the nvidia modules when nothing uses them"
	case FaultDevice:
		f.Means = "a GPU does not work, and is not offered to runs"
		f.Hint = "look for Xid errors in dmesg; reset the GPU or reboot, and have the card checked when it comes again"
		if strings.Contains(low, "no devices were found") {
			f.Level, f.Means = Warning, "the driver is there and finds no GPU"
			f.Hint = "check that the machine still has its GPU (lspci) and that dmesg shows no error of the driver"
		}
	case FaultDenied:
		f.Means = "this user may not use the GPUs, so runs are not given any"
		f.Hint = "add the user to the groups render and video (sudo usermod -aG render,video USER, then log in again)"
	case FaultNoTool:
		f.Level, f.Means = Warning, "the hardware is there and no driver serves it: GPUs are not offered to runs"
		f.Hint = "install the vendor's driver and its tools"
	case FaultFailed:
		f.Level, f.Hint = Warning, "run the tool by hand to see what is wrong"
	}
	return f
}
