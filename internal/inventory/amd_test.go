package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
)

// TestAMD asks a machine with two MI300X, whose driver's files are recorded.
func TestAMD(t *testing.T) {
	want := []GPU{
		{
			Vendor: "amd", Index: 0, ID: "0", UUID: "GPU-8f3d36e5ecfca946", Name: "AMD Instinct MI300X", Architecture: "gfx942",
			Memory: 206141652992, PCI: "0000:05:00.0", Devices: []string{"/dev/dri/renderD128"},
		},
		{
			Vendor: "amd", Index: 1, ID: "1", UUID: "GPU-e06fb42605c7de39", Name: "AMD Instinct MI300X", Architecture: "gfx942",
			Memory: 206141652992, PCI: "0000:26:00.0", Devices: []string{"/dev/dri/renderD136"},
		},
	}
	fakeTools(t, map[string]string{"amd-smi": `case "$*" in *--json*) ` + shown(t, "mi300x-static.json") + ";; *) exit 2;; esac"})
	a := newAsker(newBox(t, "testdata/kfd"), 0)
	got := a.amd(t.Context(), true)
	if diff := cmp.Diff(want, got.gpus); diff != "" {
		t.Errorf("thorough (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(AMD{Driver: "6.10.5", ROCm: "6.3.1-48"}, got.amd); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	inv := &Inventory{}
	inv.take(a.amd(t.Context(), false))
	units := []backends.GPU{
		{ID: "0", Vendor: "amd", Name: "AMD gfx942", Memory: 206141652992},
		{ID: "1", Vendor: "amd", Name: "AMD gfx942", Memory: 206141652992},
	}
	if diff := cmp.Diff(units, inv.Size().GPUs); diff != "" {
		t.Errorf("quick (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/dev/dri/renderD136"}, inv.Devices("1")); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}

	denied := newBox(t, "testdata/kfd")
	denied.readOnly = []string{"/dev/kfd"}
	if got := newAsker(denied, 0).amd(t.Context(), true); len(got.gpus) != 0 || len(got.faults) != 1 || got.faults[0].Kind != FaultDenied {
		t.Errorf("without rights: %+v", got)
	}
}

// TestAMDTools: the tools stand in where the driver has no files.
func TestAMDTools(t *testing.T) {
	for name, c := range map[string]struct {
		tools  map[string]string
		ids    []string
		faults []FaultKind
	}{
		"amd-smi":            {tools: map[string]string{"amd-smi": shown(t, "mi300x-static.json")}, ids: []string{"0", "1"}},
		"rocm-smi":           {tools: map[string]string{"rocm-smi": shown(t, "mi250-rocm-smi.json")}, ids: []string{"0", "1"}},
		"amd-smi fails":      {tools: map[string]string{"amd-smi": "echo no driver >&2; exit 1", "rocm-smi": shown(t, "mi250-rocm-smi.json")}, ids: []string{"0", "1"}},
		"both talk nonsense": {tools: map[string]string{"amd-smi": "echo hello", "rocm-smi": "echo '[]'"}, faults: []FaultKind{FaultFailed, FaultFailed}},
		"none":               {},
	} {
		t.Run(name, func(t *testing.T) {
			fakeTools(t, c.tools)
			got := newAsker(newBox(t, t.TempDir()), 0).amd(t.Context(), true)
			var ids []string
			var faults []FaultKind
			for _, g := range got.gpus {
				ids = append(ids, g.ID)
			}
			for _, f := range got.faults {
				faults = append(faults, f.Kind)
			}
			if diff := cmp.Diff(c.ids, ids); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.faults, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%+v", diff, got.faults)
			}
		})
	}
}

func TestAMDParse(t *testing.T) {
	smi, err := parseAMDSMI(recorded(t, "mi300x-static.json"))
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := parseAMDSMI(append(append([]byte(`{"gpu_data": `), recorded(t, "mi300x-static.json")...), '}'))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(smi, wrapped, cmp.AllowUnexported(gpuAnswer{})); diff != "" {
		t.Errorf("an array and an object differ:\n%s", diff)
	}
	if g := smi.gpus[0]; g.Memory != 196592*mib || g.Name != "AMD Instinct MI300X" || g.PCI != "0000:05:00.0" {
		t.Errorf("%+v", g)
	}
	rocm, err := parseROCmSMI(recorded(t, "mi250-rocm-smi.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := []GPU{
		{
			Vendor: "amd", ID: "0", UUID: "GPU-02150e7d042a1124", Name: "AMD INSTINCT MI250 (MCM) OAM AC MBA", Architecture: "gfx9010",
			Memory: 68702699520, PCI: "0000:29:00.0",
		},
		{Vendor: "amd", Index: 1, ID: "1", Name: "AMD INSTINCT MI250 (MCM) OAM AC MBA", PCI: "0000:2c:00.0"},
	}
	if diff := cmp.Diff(want, rocm.gpus); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for target, name := range map[int64]string{90402: "gfx942", 90010: "gfx90a", 110000: "gfx1100", 120001: "gfx1201", 90008: "gfx908", 0: "GPU"} {
		if got := gfx(target); got != name {
			t.Errorf("gfx(%d) = %q, want %q", target, got, name)
		}
	}
}

// TestAMDSmall: a processor's graphics part is counted, as HIP does, and not
// offered.
func TestAMDSmall(t *testing.T) {
	fakeTools(t, nil)
	b := newBox(t, t.TempDir())
	b.write(t, map[string]string{
		kfdNodes + "/1/gpu_id": "9861\n", kfdNodes + "/1/properties": "simd_count 4\nsimd_per_cu 2\ngfx_target_version 100306\ndrm_render_minor 128\n",
		kfdNodes + "/2/gpu_id": "56387\n", kfdNodes + "/2/properties": "simd_count 128\nsimd_per_cu 2\ngfx_target_version 120001\ndrm_render_minor 129\n",
	})
	inv := &Inventory{}
	inv.take(newAsker(b, 0).amd(t.Context(), false))
	if diff := cmp.Diff([]backends.GPU{{ID: "1", Vendor: "amd", Name: "AMD gfx1201"}}, inv.Size().GPUs); diff != "" || len(inv.GPUs) != 2 {
		t.Errorf("(-want +got):\n%s\n%+v", diff, inv.GPUs)
	}
}

// TestUnserved: hardware on the bus that no driver serves is told of.
func TestUnserved(t *testing.T) {
	fakeTools(t, nil)
	b := newBox(t, t.TempDir())
	device := func(vendor, class string) map[string]string {
		return map[string]string{"vendor": vendor + "\n", "class": class + "\n"}
	}
	for address, d := range map[string]map[string]string{
		"0000:00:02.0": device("0x8086", "0x030000"), "0000:19:00.0": device("0x10de", "0x030200"),
		"0000:19:00.1": device("0x10de", "0x040300"), "0000:3b:00.0": device("0x10de", "0x030200"),
		"0000:05:00.0": device("0x1002", "0x120000"), "0000:06:00.0": device("0x1002", "0x030000"),
	} {
		for file, text := range d {
			b.write(t, map[string]string{"/sys/bus/pci/devices/" + address + "/" + file: text})
		}
	}
	var got []string
	for _, f := range newAsker(b, 0).gpus(t.Context(), true).faults {
		got = append(got, f.Message)
	}
	want := []string{"2 NVIDIA GPUs on the PCI bus and no nvidia-smi", "1 AMD GPU on the PCI bus and no AMD compute driver (/sys/class/kfd)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzAMD: whatever the tools say, what is offered has an id.
func FuzzAMD(f *testing.F) {
	for _, n := range []string{"mi300x-static.json", "mi250-rocm-smi.json", "kfd/sys/class/kfd/kfd/topology/nodes/2/properties"} {
		f.Add(recorded(f, n))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := parseAMDSMI(data); err == nil {
			checkGPUs(t, a.gpus)
		}
		if a, err := parseROCmSMI(data); err == nil {
			checkGPUs(t, a.gpus)
		}
		_, _ = parseKFD(string(data))
	})
}
