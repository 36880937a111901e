package machine

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// withDevices is a machine that has these.
func withDevices(gpus ...inventory.GPU) *Machine {
	m := &Machine{layout: "/home/runner"}
	m.probe.ask = func(context.Context) (*inventory.Inventory, error) { return &inventory.Inventory{GPUs: gpus}, nil }
	return m
}

var (
	nvidia0 = inventory.GPU{Vendor: "nvidia", ID: "GPU-0", Name: "H100"}
	nvidia1 = inventory.GPU{Vendor: "nvidia", ID: "GPU-1", Name: "H100"}
	divided = inventory.GPU{
		Vendor: "nvidia", ID: "GPU-2", MIG: true,
		Instances: []inventory.Instance{{ID: "MIG-a", Profile: "3g.40gb"}, {ID: "MIG-b", Profile: "3g.40gb"}},
	}
	amd0 = inventory.GPU{Vendor: "amd", ID: "0", Devices: []string{"/dev/dri/renderD128"}}
)

func TestDeviceVariables(t *testing.T) {
	for _, c := range []struct {
		name    string
		devices []inventory.GPU
		ids     []string
		want    map[string]string
	}{
		{"no device", nil, nil, map[string]string{}},
		{"none given: hidden", []inventory.GPU{nvidia0}, nil, map[string]string{"CUDA_VISIBLE_DEVICES": "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}},
		{"one of two", []inventory.GPU{nvidia0, nvidia1}, []string{"GPU-1"}, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}},
		{"both", []inventory.GPU{nvidia0, nvidia1}, []string{"GPU-1", "GPU-0"}, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}},
		{"an instance", []inventory.GPU{divided}, []string{"MIG-b"}, map[string]string{"CUDA_VISIBLE_DEVICES": "MIG-b", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}},
		{"AMD", []inventory.GPU{amd0}, []string{"0"}, map[string]string{"HIP_VISIBLE_DEVICES": "0"}},
		{"AMD, none given", []inventory.GPU{amd0}, nil, map[string]string{"HIP_VISIBLE_DEVICES": "-1"}},
		{
			"both makers, one given",
			[]inventory.GPU{nvidia0, amd0},
			[]string{"0"},
			map[string]string{"CUDA_VISIBLE_DEVICES": "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "HIP_VISIBLE_DEVICES": "0"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := withDevices(c.devices...).deviceVariables(t.Context(), c.ids)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContainerSpec(t *testing.T) {
	m := withDevices(nvidia0, divided, amd0)
	m.bin = "/home/runner/bin/runner"
	m.platform.UID, m.platform.GID = 1000, 1001
	m.config.Installation = "here"
	a := backends.Attempt{
		Run: "iris-1", Number: 2,
		Config: &runconfig.ScriptRunConfig{Resources: runconfig.Resources{CPUs: 1.5, Memory: 1 << 30, GPUs: 2}},
		Environment: &environment.Resolved{Kind: environment.Image, Docker: &environment.Docker{
			Image: "x", ShmSize: "2GiB", Arguments: []string{"--ipc", "host"}, Volumes: []string{"/data:/data:ro", "/scratch:/scratch"},
		}},
		Allocation: run.Allocation{GPUs: []string{"MIG-a", "0"}},
		Secrets:    map[string]string{"TOKEN": "secret"},
	}
	r := &record{Form: inContainer, Image: "registry.example.org/x:latest", Inputs: []placedInput{{Name: "d", Source: "/in", Path: "/runner/inputs/d", ReadOnly: true}}}
	got, err := m.containerSpec(t.Context(), a, r, m.layout.attempt(a.Ref()))
	if err != nil {
		t.Fatal(err)
	}
	const dir = "/home/runner/runs/iris-1/"
	want := container.Spec{
		Mark: container.Mark{Run: "iris-1", Attempt: 2, Home: "here"}, Image: "registry.example.org/x:latest", Dir: "/runner/work",
		UID: 1000, GID: 1001, Memory: 1 << 30, CPUs: 1.5, ShmSize: 2 << 30,
		Binds: []container.Bind{
			{Source: "/home/runner/bin/runner", Target: "/runner/bin/runner", ReadOnly: true},
			{Source: dir + "attempts/2/work", Target: "/runner/work"},
			{Source: dir + "attempts/2/sup", Target: "/runner/sup"},
			{Source: dir + "checkpoint", Target: "/runner/checkpoint"},
			{Source: "/in", Target: "/runner/inputs/d", ReadOnly: true},
			{Source: "/data", Target: "/data", ReadOnly: true},
			{Source: "/scratch", Target: "/scratch"},
		},
		GPUs:  []container.GPU{{ID: "MIG-a", Vendor: "nvidia"}, {ID: "0", Vendor: "amd", Devices: []string{"/dev/dri/renderD128"}}},
		Extra: container.Extra{IPC: "host"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, docker := range map[string]environment.Docker{
		"size": {ShmSize: "much"}, "argument": {Arguments: []string{"--privilegd"}}, "volume": {Volumes: []string{"relative:/x"}},
		"volume mode": {Volumes: []string{"/x:/x:zz"}}, "volume without target": {Volumes: []string{"/x"}},
	} {
		a.Environment.Docker = &docker
		if _, err := m.containerSpec(t.Context(), a, r, m.layout.attempt(a.Ref())); backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A process inherits the baseline, with the PATH of whoever submitted; that of
// this computer means nothing on another.
func TestInherited(t *testing.T) {
	m := &Machine{config: Config{Environ: []string{"HOME=/h", "PATH=/bin", "UV_PUBLISH_TOKEN=t", "LANG=a=b\nc"}}, local: true}
	a := backends.Attempt{Config: &runconfig.ScriptRunConfig{}}
	if diff := cmp.Diff([]string{"HOME=/h", "PATH=/bin", "LANG=a=b\nc"}, m.inherited(a)); diff != "" {
		t.Error(diff)
	}
	a.Config.Path = "/venv/bin:/bin"
	if diff := cmp.Diff([]string{"HOME=/h", "PATH=/bin", "LANG=a=b\nc", "PATH=/venv/bin:/bin"}, m.inherited(a)); diff != "" {
		t.Error(diff)
	}
	m.local = false
	if diff := cmp.Diff([]string{"HOME=/h", "PATH=/bin", "LANG=a=b\nc"}, m.inherited(a)); diff != "" {
		t.Error(diff)
	}
}

func TestProbeAgain(t *testing.T) {
	m := withDevices()
	asked := 0
	failing := errors.New("no answer")
	m.probe.ask = func(context.Context) (*inventory.Inventory, error) {
		if asked++; asked == 1 {
			return nil, failing
		}
		return &inventory.Inventory{GPUs: []inventory.GPU{nvidia0}}, nil
	}
	if _, err := m.deviceVariables(t.Context(), nil); !errors.Is(err, failing) {
		t.Errorf("error %v", err)
	}
	for range 3 {
		if _, err := m.deviceVariables(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	if size, err := m.Size(t.Context()); err != nil || asked != 3 || !slices.ContainsFunc(size.GPUs, func(g backends.GPU) bool { return g.ID == "GPU-0" }) {
		t.Errorf("size %+v, %v, asked %d times", size, err, asked)
	}
}
