package servertest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/store"
)

// FakeTargets are compute targets in memory. What attaching one comes to is in the
// host's name: "wants-password" takes one, "unknown-key" has a key that is to be confirmed, "down" does not
// answer, "taken" is another installation's.
type FakeTargets struct {
	mu       sync.Mutex
	attached map[string]controller.TargetInfo
	// Told are the secrets of the last attachment, for tests.
	Told map[string]string
}

// FakeHostKey is the key of "unknown-key".
const FakeHostKey = "SHA256:AAAAC3NzaC1lZDI1NTE5AAAAIabcdefghijklmnopqr"

// Facts of every machine here.
func fakeFacts() *inventory.Inventory {
	return &inventory.Inventory{
		Hostname: "gpubox", Root: "/home/me/.runner", UID: 1000,
		System: inventory.System{OS: "linux", Arch: "amd64", Name: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0"},
		CPUs:   inventory.CPUs{Online: 8, Allowed: 8, Usable: 8},
		Memory: inventory.Memory{Total: 32 << 30, Usable: 32 << 30, Available: 30 << 30},
		Disk:   inventory.Disk{Path: "/home/me", Total: 100 << 30, Free: 60 << 30, FreeFiles: -1, FileSystem: "ext4", MountPoint: "/", Writable: true},
		GPUs:   []inventory.GPU{{Vendor: "nvidia", ID: "GPU-1", Name: "NVIDIA A100", Memory: 40 << 30}},
		NVIDIA: inventory.NVIDIA{Driver: "550.54.15", CUDA: "12.4"},
		Python: []inventory.Python{{Path: "/usr/bin/python3", Version: "3.11.2", Venv: true, EnsurePip: true, VenvModule: true}},
		Conda:  []inventory.Program{}, UV: &inventory.Program{Name: "uv", Path: "/usr/bin/uv", Version: "0.5.1"},
		Docker: inventory.Docker{
			Found: true, Socket: "/var/run/docker.sock", Version: "27.5.1", API: "1.47", CPUs: 8, Memory: 32 << 30,
			StorageDriver: "overlay2", CgroupVersion: "2", NVIDIA: true, DiskFree: 60 << 30,
		},
		Cgroup: inventory.Cgroup{Version: 2, Memory: true, CPU: true}, Limits: inventory.Limits{OpenFiles: -1, Processes: -1},
		Clock: inventory.Clock{
			Skew: 2.1, Precision: 0.01, Known: true, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		}, Faults: []inventory.Fault{},
	}
}

// SlowSteps is how many steps attaching a "slow" machine tells of.
const SlowSteps = 50

// Attach attaches a target.
func (s *FakeTargets) Attach(_ context.Context, a controller.Attachment, told func(controller.Progress)) (*controller.TargetInfo, error) {
	if strings.Contains(a.Config.Address, "slow") {
		for i := range int64(SlowSteps) {
			told(controller.Progress{Step: "program", Detail: "sending \"it\"", Done: i + 1, Total: SlowSteps, Unit: "B"})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Told = a.Secrets
	switch at := a.Config.Address; {
	case strings.Contains(at, "unknown-key") && a.Config.HostKey == "" && !slices.Contains(a.Config.Accepted, FakeHostKey):
		return nil, &compute.UnknownHostKeyError{Host: at, Type: "ssh-ed25519", Fingerprint: FakeHostKey}
	case strings.Contains(at, "wants-password") && a.Secrets[compute.PurposePassword] == "":
		return nil, &compute.SecretNeededError{
			Purpose: compute.PurposePassword, What: "password of " + at, Why: at + " takes a password, and none was given", Advice: "give the password with --password",
		}
	case strings.Contains(at, "down"):
		return nil, &compute.ReachError{Name: a.Name, Err: context.DeadlineExceeded, Temporary: true, Advice: "check the address"}
	case strings.Contains(at, "taken") && !a.TakeOver:
		return nil, &compute.ClaimedError{Claim: compute.Claim{
			Installation: "0123456789abcdef", Target: "box", By: "ana@laptop", Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		}}
	}
	if err := compute.CheckName(a.Name); err != nil {
		return nil, &controller.InvalidError{What: err.Error()}
	}
	if _, ok := s.attached[a.Name]; ok {
		return nil, &store.TargetExistsError{Name: a.Name}
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	facts := fakeFacts()
	size := facts.Size()
	t := controller.TargetInfo{
		Name: a.Name, Kind: a.Kind, Instance: a.Instance, State: controller.TargetReady, Config: &a.Config,
		CPUs: size.CPUs, Memory: size.Memory, GPUs: []string{"GPU-1"}, HostKey: FakeHostKey, AttachedAt: &at, Facts: facts,
	}
	if s.attached == nil {
		s.attached = map[string]controller.TargetInfo{}
	}
	s.attached[a.Name] = t
	return &t, nil
}

// Targets lists this computer and what was attached.
func (s *FakeTargets) Targets(context.Context) ([]controller.TargetInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []controller.TargetInfo{s.local()}
	for _, t := range s.attached {
		t.Facts = nil
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b controller.TargetInfo) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s *FakeTargets) local() controller.TargetInfo {
	if t, ok := s.attached[compute.LocalName]; ok {
		return t
	}
	return controller.TargetInfo{
		Name: compute.LocalName, Kind: compute.Local, Instance: true, State: controller.TargetReady, CPUs: 2, Memory: 4 << 30, GPUs: []string{},
	}
}

// Target finds one.
func (s *FakeTargets) Target(_ context.Context, name string) (*controller.TargetInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(name)
}

func (s *FakeTargets) find(name string) (*controller.TargetInfo, error) {
	if name == compute.LocalName {
		t := s.local()
		return &t, nil
	}
	if t, ok := s.attached[name]; ok {
		return &t, nil
	}
	return nil, &store.NotFoundError{Kind: "compute target", Name: name}
}

// CheckTarget finds that the driver has changed.
func (s *FakeTargets) CheckTarget(_ context.Context, name string) (*controller.TargetCheck, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(name)
	if err != nil {
		return nil, err
	}
	now := fakeFacts()
	now.NVIDIA.Driver = "555.42.06"
	return &controller.TargetCheck{Target: *t, Changes: compute.Changes(t.Facts, now), Facts: now}, nil
}

// Detach forgets one.
func (s *FakeTargets) Detach(_ context.Context, name string, d controller.Detachment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(name)
	if err != nil {
		return err
	}
	if t.Kind == compute.Local {
		return &controller.InvalidError{What: "this computer is always a target: " + name}
	}
	if strings.Contains(t.Config.Address, "busy") && !d.Force {
		return &controller.BusyTargetError{Name: name, Runs: []string{"iris-0000000001"}}
	}
	delete(s.attached, name)
	return nil
}

// StopQueue stops a queue.
func (s *FakeTargets) StopQueue(_ context.Context, name string) (*controller.TargetInfo, error) {
	return s.setQueue(name, controller.TargetStopped)
}

// StartQueue starts it.
func (s *FakeTargets) StartQueue(_ context.Context, name string) (*controller.TargetInfo, error) {
	return s.setQueue(name, controller.TargetReady)
}

func (s *FakeTargets) setQueue(name string, state controller.TargetState) (*controller.TargetInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(name)
	if err != nil {
		return nil, err
	}
	if !t.Instance {
		return nil, &controller.NotInstanceError{Name: name}
	}
	t.State = state
	if s.attached == nil {
		s.attached = map[string]controller.TargetInfo{}
	}
	s.attached[name] = *t
	return t, nil
}
