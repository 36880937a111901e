package inventory

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
)

const (
	a100  = "GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f"
	a100b = "GPU-3f1a2b77-88e2-0f5e-7a53-cc1d0f4e9b21"
	h100  = "GPU-8d1f2a34-6f3c-9b1e-44d2-0c7be1a95f60"
	h100b = "GPU-1b6e0f52-aa47-2c7d-9e80-35d1f6c2b748"
	mib   = 1 << 20
)

func unit(id, name string, memory int64) backends.GPU {
	return backends.GPU{ID: id, Vendor: "nvidia", Name: name, Memory: memory}
}

// TestNVIDIA asks a fake nvidia-smi for recorded answers.
func TestNVIDIA(t *testing.T) {
	const (
		h100Name = "NVIDIA H100 80GB HBM3"
		a100Name = "NVIDIA A100-SXM4-40GB"
	)
	divided := func(ids ...string) []backends.GPU {
		return []backends.GPU{
			unit(ids[0], a100Name+" MIG 3g.20gb", 20096*mib), unit(ids[1], a100Name+" MIG 1g.5gb", 4864*mib),
			unit(ids[2], a100Name+" MIG 1g.5gb", 4864*mib), unit(a100b, a100Name, 40960*mib),
		}
	}
	unprofiled := divided("MIG-"+a100+"/1/0", "MIG-"+a100+"/5/0", "MIG-"+a100+"/13/0")
	for i := range 3 {
		unprofiled[i].Name = a100Name + " MIG"
	}
	for name, c := range map[string]struct {
		// query, list and csv are what the tool does with -q -x, -L and --query-gpu.
		query, list, csv string
		units            []backends.GPU
		driver, cuda     string
		faults           []FaultKind
		message          string
	}{
		"two H100, a process with a name that is no XML": {
			query: shown(t, "h100.xml"), driver: "550.54.15", cuda: "12.4",
			units: []backends.GPU{unit(h100, h100Name, 81559*mib), unit(h100b, h100Name, 81559*mib)},
		},
		"A100 with MIG": {
			query: shown(t, "a100-mig.xml"), list: shown(t, "a100-mig-list.txt"), driver: "535.129.03", cuda: "12.2",
			units: divided("MIG-2f1b5c6e-9d0a-5e43-8b7f-6a1c0d3e4f52", "MIG-7c3d9e10-4b2f-5a68-9e1d-0f8a7b6c5d43", "MIG-e0a4b8c2-6d1f-5b97-a3e5-1c2d3e4f5a6b"),
		},
		"A100 with MIG, names of old drivers": {
			query: shown(t, "a100-mig.xml"), list: shown(t, "a100-mig-old-list.txt"), driver: "535.129.03", cuda: "12.2",
			units: divided("MIG-"+a100+"/1/0", "MIG-"+a100+"/5/0", "MIG-"+a100+"/13/0"),
		},
		"A100 with MIG, no list": {
			query: shown(t, "a100-mig.xml"), list: "exit 3", driver: "535.129.03", cuda: "12.2", units: unprofiled,
		},
		"MIG without instances": {
			query: shown(t, "h100-mig-empty.xml"), list: "echo 'GPU 0: " + h100Name + " (UUID: " + h100 + ")'", driver: "580.65.06", cuda: "13.0",
		},
		"cards in trouble": {
			query: shown(t, "troubled.xml"), driver: "575.57.08", cuda: "12.9",
			units:  []backends.GPU{unit(a100, h100Name, 81559*mib)},
			faults: []FaultKind{FaultDevice}, message: "does not tell its UUID",
		},
		"memory shared with the machine": {
			query: shown(t, "gb10.xml"), driver: "580.95.05", cuda: "13.0", units: []backends.GPU{unit(h100, "NVIDIA GB10", 0)},
		},
		"WSL": {
			query: shown(t, "wsl.xml"), driver: "551.61", cuda: "12.4",
			units: []backends.GPU{unit(a100b, "NVIDIA GeForce RTX 3060 Laptop GPU", 6144*mib)},
		},
		"a warning before the answer": {
			query: "echo 'WARNING: infoROM is corrupted at gpu 0000:19:00.0'\n" + shown(t, "h100.xml"), driver: "550.54.15", cuda: "12.4",
			units: []backends.GPU{unit(h100, h100Name, 81559*mib), unit(h100b, h100Name, 81559*mib)},
		},
		"no XML, so CSV": {
			query: "echo '<nvidia_smi_log><gpu'", driver: "470.57.02",
			csv:  "echo '0, " + a100 + ", NVIDIA A100-SXM4-40GB, 40536, 00000000:01:00.0, 470.57.02'",
			list: shown(t, "a100-mig-list.txt"),
			units: func() []backends.GPU {
				u := divided("MIG-2f1b5c6e-9d0a-5e43-8b7f-6a1c0d3e4f52", "MIG-7c3d9e10-4b2f-5a68-9e1d-0f8a7b6c5d43", "MIG-e0a4b8c2-6d1f-5b97-a3e5-1c2d3e4f5a6b")[:3]
				for i := range u {
					u[i].Memory = 0 // the short answer does not tell
				}
				return u
			}(),
		},
		"one of two is lost": {
			query: "echo 'Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU'; exit 15",
			csv:   "echo '0, " + h100 + ", NVIDIA H100 80GB HBM3, 81559, 00000000:19:00.0, 550.54.15'; echo 'Unable to determine the device handle for GPU1: 0000:3B:00.0: GPU is lost'; exit 15",
			list:  "exit 15", driver: "550.54.15", units: []backends.GPU{unit(h100, h100Name, 81559*mib)},
			faults: []FaultKind{FaultDevice}, message: "GPU is lost",
		},
		"driver not loaded": {
			query: `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running."; echo; exit 9`,
			csv:   "echo must not be asked >&2; exit 1", faults: []FaultKind{FaultDriver}, message: "couldn't communicate",
		},
		"driver and library differ": {
			query:  "printf 'Failed to initialize NVML: Driver/library version mismatch\\nNVML library version: 535.288\\n'; exit 18",
			faults: []FaultKind{FaultMismatch}, message: "version mismatch",
		},
		"no devices":              {query: "echo 'No devices were found'; exit 6", faults: []FaultKind{FaultDevice}, message: "No devices"},
		"driver without any card": {query: shown(t, "no-gpus.xml"), driver: "550.54.15", cuda: "12.4"},
		"library is missing": {
			query:  `echo "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display Driver is properly installed and present in your system."; exit 12`,
			faults: []FaultKind{FaultDriver}, message: "libnvidia-ml",
		},
		"it crashes": {query: "kill -SEGV $$", csv: "exit 1", faults: []FaultKind{FaultFailed}},
		"it hangs":   {query: "exec sleep 60", faults: []FaultKind{FaultHung}},
		"it hangs and ignores SIGTERM": {
			query: "trap '' TERM; sleep 60 & wait; sleep 60", faults: []FaultKind{FaultHung},
		},
	} {
		t.Run(name, func(t *testing.T) {
			fakeTools(t, map[string]string{"nvidia-smi": "case $1 in\n-q) " + c.query + "\n;;\n-L) " + c.list + "\n;;\n--query-gpu*) " + c.csv + "\n;;\n*) exit 2;;\nesac\n"})
			for where, a := range map[string]*asker{
				"here":  newAsker(boxHere{newBox(t, t.TempDir())}, 0),
				"there": newAsker(newBox(t, t.TempDir()), 0),
			} {
				if len(c.faults) > 0 && c.faults[0] == FaultHung {
					a.limit = 400 * time.Millisecond
				}
				began := time.Now()
				got := a.nvidia(t.Context())
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("%s: took %v", where, took)
				}
				inv := &Inventory{}
				inv.take(got)
				if diff := cmp.Diff(c.units, inv.Size().GPUs); diff != "" {
					t.Errorf("%s: GPUs (-want +got):\n%s", where, diff)
				}
				if inv.Driver() != c.driver || inv.NVIDIA.CUDA != c.cuda {
					t.Errorf("%s: driver %q CUDA %q, want %q %q", where, inv.Driver(), inv.NVIDIA.CUDA, c.driver, c.cuda)
				}
				var kinds []FaultKind
				for _, f := range got.faults {
					kinds = append(kinds, f.Kind)
					if !strings.Contains(f.Message, c.message) || strings.Contains(f.Message, "\n") || f.Message == "" {
						t.Errorf("%s: message %q, want one line with %q", where, f.Message, c.message)
					}
				}
				if diff := cmp.Diff(c.faults, kinds); diff != "" {
					t.Errorf("%s: faults (-want +got):\n%s\n%+v", where, diff, got.faults)
				}
			}
		})
	}
}

func TestNVIDIAFields(t *testing.T) {
	got, err := parseNVIDIA(recorded(t, "a100-mig.xml"))
	if err != nil {
		t.Fatal(err)
	}
	want := GPU{
		Vendor: "nvidia", ID: a100, UUID: a100, Name: "NVIDIA A100-SXM4-40GB", Architecture: "Ampere", Memory: 40960 * mib,
		PCI: "0000:01:00.0", MIG: true, Instances: []Instance{
			{ID: "MIG-" + a100 + "/1/0", Memory: 20096 * mib, GPUInstance: 1},
			{ID: "MIG-" + a100 + "/5/0", Memory: 4864 * mib, GPUInstance: 5},
			{ID: "MIG-" + a100 + "/13/0", Memory: 4864 * mib, GPUInstance: 13},
		},
	}
	if diff := cmp.Diff(want, got.gpus[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseNVIDIA([]byte("hello")); err == nil {
		t.Error("no error for what is no answer")
	}
}

// FuzzNVIDIA: whatever nvidia-smi says, what is offered has an id.
func FuzzNVIDIA(f *testing.F) {
	for _, n := range []string{"h100.xml", "a100-mig.xml", "troubled.xml", "gb10.xml", "h100-mig-empty.xml", "a100-mig-list.txt"} {
		f.Add(recorded(f, n))
	}
	f.Add([]byte("0, GPU-1, NVIDIA, 81559, 00000000:19:00.0, 550.54.15\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := parseNVIDIA(data)
		if err != nil && len(answer.gpus) > 0 {
			t.Error("an error and GPUs")
		}
		answers := []gpuAnswer{answer, parseNVIDIACSV(string(data))}
		listed := parseNVIDIAList(string(data))
		for _, a := range answers {
			for i := range a.gpus {
				nameFrom(&a.gpus[i], listed[a.gpus[i].UUID])
			}
			checkGPUs(t, a.gpus)
		}
	})
}

// checkGPUs holds for GPUs whatever they were read from.
func checkGPUs(t *testing.T, gpus []GPU) {
	t.Helper()
	for _, g := range gpus {
		for _, u := range g.units() {
			if u.ID == "" || strings.ContainsAny(u.ID, ", \n\t") {
				t.Errorf("%q cannot be an id in CUDA_VISIBLE_DEVICES", u.ID)
			}
			if u.Memory < 0 {
				t.Errorf("memory %d", u.Memory)
			}
		}
	}
}
