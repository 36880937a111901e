package inventory

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// smiLog is what we read of nvidia-smi -q -x. Everything is text: a field that
// a card has not is "N/A", one that cannot be read "Unknown Error".
type smiLog struct {
	XMLName xml.Name `xml:"nvidia_smi_log"`
	Driver  string   `xml:"driver_version"`
	CUDA    string   `xml:"cuda_version"`
	GPUs    []smiGPU `xml:"gpu"`
}

type smiGPU struct {
	PCI          string   `xml:"id,attr"`
	Name         string   `xml:"product_name"`
	Architecture string   `xml:"product_architecture"`
	UUID         string   `xml:"uuid"`
	MIG          string   `xml:"mig_mode>current_mig"`
	Devices      []smiMIG `xml:"mig_devices>mig_device"`
	Memory       string   `xml:"fb_memory_usage>total"`
	ComputeMode  string   `xml:"compute_mode"`
	Recovery     string   `xml:"gpu_recovery_action"`
}

type smiMIG struct {
	Index           string `xml:"index"`
	GPUInstance     string `xml:"gpu_instance_id"`
	ComputeInstance string `xml:"compute_instance_id"`
	UUID            string `xml:"uuid"`
	Memory          string `xml:"fb_memory_usage>total"`
}

// errNotSMI is an answer that is not nvidia-smi's.
var errNotSMI = errors.New("what nvidia-smi says cannot be read")

// parseNVIDIA reads nvidia-smi -q -x. A GPU without a usable UUID gives a
// fault and is not offered.
func parseNVIDIA(data []byte) (gpuAnswer, error) {
	if i := bytes.Index(data, []byte("<nvidia_smi_log")); i > 0 {
		data = data[i:] // warnings may come before, and the DOCTYPE is of no use
	}
	decoder := xml.NewDecoder(bytes.NewReader(withoutProcesses(data)))
	decoder.Strict = false
	var l smiLog
	if err := decoder.Decode(&l); err != nil {
		return gpuAnswer{}, fmt.Errorf("%w: %w", errNotSMI, err)
	}
	answer := gpuAnswer{nvidia: NVIDIA{Driver: version(l.Driver), CUDA: version(l.CUDA)}}
	for i, g := range l.GPUs {
		gpu := GPU{
			Vendor: vendorNVIDIA, Index: i, ID: known(g.UUID), UUID: known(g.UUID), Name: known(g.Name),
			Architecture: known(g.Architecture), Memory: mebibytes(g.Memory), PCI: pciAddress(g.PCI),
			MIG: strings.TrimSpace(g.MIG) == "Enabled",
		}
		switch mode := known(g.ComputeMode); mode {
		case "Prohibited", "Exclusive_Process", "Exclusive_Thread":
			gpu.ComputeMode = mode
		}
		if action := known(g.Recovery); action != "None" {
			gpu.Recovery = action
		}
		if !gpuUUID.MatchString(gpu.UUID) {
			answer.faults = append(answer.faults, Fault{
				Subject: subjectGPU, Kind: FaultDevice, Tool: "nvidia-smi",
				Message: fmt.Sprintf("GPU %d (%s) does not tell its UUID: %q", i, gpu.PCI, oneLine(g.UUID)),
			})
			continue
		}
		if gpu.MIG {
			gpu.Instances = instancesOf(gpu.UUID, g.Devices)
		}
		answer.gpus = append(answer.gpus, gpu)
	}
	return answer, nil
}

// instancesOf are a divided GPU's parts. Those without a UUID get the id that
// is made of the numbers, which drivers take as well.
func instancesOf(uuid string, devices []smiMIG) []Instance {
	out := make([]Instance, 0, len(devices))
	for _, d := range devices {
		gi, err := strconv.Atoi(strings.TrimSpace(d.GPUInstance))
		ci, err2 := strconv.Atoi(strings.TrimSpace(d.ComputeInstance))
		if err != nil || err2 != nil || gi < 0 || ci < 0 {
			continue
		}
		i := Instance{GPUInstance: gi, ComputeInstance: ci, Memory: mebibytes(d.Memory), ID: known(d.UUID)}
		if !migID.MatchString(i.ID) {
			i.ID = fmt.Sprintf("MIG-%s/%d/%d", uuid, gi, ci)
		}
		out = append(out, i)
	}
	return out
}

// withoutProcesses cuts out the lists of processes: nvidia-smi writes their
// names as they are, and one with a "<" in it makes the whole no XML.
func withoutProcesses(data []byte) []byte {
	const from, to = "<processes>", "</processes>"
	var out []byte
	for {
		start := bytes.Index(data, []byte(from))
		if start < 0 {
			return append(out, data...)
		}
		length := bytes.Index(data[start:], []byte(to))
		if length < 0 {
			return append(out, data...)
		}
		out = append(out, data[:start]...)
		data = data[start+length+len(to):]
	}
}

// parseNVIDIACSV reads the short answer: index, uuid, name, memory in MiB, PCI
// address, driver version.
func parseNVIDIACSV(text string) gpuAnswer {
	var answer gpuAnswer
	for line := range strings.Lines(text) {
		r := csv.NewReader(strings.NewReader(line))
		r.TrimLeadingSpace, r.LazyQuotes, r.FieldsPerRecord = true, true, 6
		f, err := r.Read()
		if err != nil {
			continue // a message between the lines
		}
		index, err := strconv.Atoi(strings.TrimSpace(f[0]))
		uuid := known(f[1])
		if err != nil || index < 0 || !gpuUUID.MatchString(uuid) {
			continue
		}
		answer.gpus = append(answer.gpus, GPU{
			Vendor: vendorNVIDIA, Index: index, ID: uuid, UUID: uuid, Name: known(f[2]),
			Memory: mebibytes(f[3] + " MiB"), PCI: pciAddress(f[4]),
		})
		answer.nvidia.Driver = version(f[5])
	}
	return answer
}

// listedMIG is a MIG instance in the answer of nvidia-smi -L.
type listedMIG struct{ profile, id string }

var (
	gpuUUID        = regexp.MustCompile(`^GPU-[0-9A-Za-z-]+$`)
	migID          = regexp.MustCompile(`^MIG-[0-9A-Za-z/-]+$`)
	listedGPU      = regexp.MustCompile(`^GPU \d+: .*\(UUID: (GPU-[0-9A-Za-z-]+)\)`)
	listedInstance = regexp.MustCompile(`^\s+MIG\s+(\S+)\s+Device\s+(\d+):\s+\(UUID:\s+(MIG-[0-9A-Za-z/-]+)\)`)
)

// parseNVIDIAList reads nvidia-smi -L: MIG instances in their order, by the
// GPU's UUID.
func parseNVIDIAList(text string) map[string][]listedMIG {
	out := map[string][]listedMIG{}
	gpu := ""
	for line := range strings.Lines(text) {
		if m := listedGPU.FindStringSubmatch(line); m != nil {
			gpu = m[1]
		} else if m := listedInstance.FindStringSubmatch(line); m != nil && gpu != "" {
			out[gpu] = append(out[gpu], listedMIG{profile: m[1], id: m[3]})
		}
	}
	return out
}

// nameFrom gives a divided GPU's instances their ids and profiles. Both lists
// are in the driver's order; when they are not of one length the instances
// changed in between, and the list is the one to go by.
func nameFrom(g *GPU, listed []listedMIG) {
	if len(listed) == 0 {
		return
	}
	if len(g.Instances) != len(listed) {
		g.Instances = make([]Instance, len(listed))
	}
	g.MIG = true
	for i, l := range listed {
		g.Instances[i].ID, g.Instances[i].Profile = l.id, l.profile
	}
}

// known is a value, or empty where nvidia-smi has none.
func known(value string) string {
	value = strings.TrimSpace(value)
	switch strings.Trim(value, "[]") {
	case "N/A", "Not Supported", "Unknown Error", "Not Found", "Unknown", "ERR!", "GPU is lost",
		"GPU requires reset", "Insufficient Permissions", "Requested functionality has been deprecated":
		return ""
	}
	return strings.ToValidUTF8(value, "?")
}

var versionShape = regexp.MustCompile(`^\d+(\.\d+)*`)

// version is the dotted number that a value begins with, or empty.
func version(value string) string { return versionShape.FindString(strings.TrimSpace(value)) }

// mebibytes reads "81559 MiB" as bytes; zero when it is no such thing.
func mebibytes(value string) int64 {
	text, ok := strings.CutSuffix(strings.TrimSpace(value), " MiB")
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if !ok || err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n << 20
}

// pciAddress shortens the eight digits of NVIDIA's domain to the kernel's four.
func pciAddress(id string) string {
	id = strings.ToLower(known(id))
	domain, rest, ok := strings.Cut(id, ":")
	if ok && len(domain) == 8 && strings.HasPrefix(domain, "0000") {
		return domain[4:] + ":" + rest
	}
	return id
}
