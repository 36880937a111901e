package inventory

import (
	"context"
	"errors"
	"strings"

	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
)

// Docker is the machine's container engine.
type Docker struct {
	// Found: an engine answers.
	Found bool `json:"found"`
	// Podman: it is podman.
	Podman  bool   `json:"podman"`
	Socket  string `json:"socket"`
	Version string `json:"version"`
	// API version spoken with it.
	API string `json:"api"`
	// CPUs and Memory (bytes) that the engine has: on a Mac less than the machine.
	CPUs   int   `json:"cpus"`
	Memory int64 `json:"memory"`
	// Rootless: the engine runs as a user.
	Rootless      bool   `json:"rootless"`
	StorageDriver string `json:"storage_driver"`
	CgroupVersion string `json:"cgroup_version"`
	// NVIDIA: containers can be given NVIDIA GPUs.
	NVIDIA bool `json:"nvidia"`
	// RootDir is where the engine keeps images; DiskFree what is left there in
	// bytes, -1: unknown.
	RootDir  string `json:"root_dir"`
	DiskFree int64  `json:"disk_free"`
	// Warnings of the engine's own.
	Warnings []string `json:"warnings,omitempty"`
	// Problem is why no engine answers, one of internal/container's kinds;
	// Message and Hint tell more.
	Problem string `json:"problem,omitempty"`
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// askEngine asks the host's engine.
func askEngine(ctx context.Context, h host.Host) (EngineInfo, error) {
	engine, err := container.Open(ctx, h, container.Options{})
	if err != nil {
		return EngineInfo{}, err
	}
	defer func() { _ = engine.Close() }() // only asked
	info, err := engine.Info(ctx)
	return EngineInfo{Socket: engine.Socket(), Info: info}, err
}

// docker asks for the engine with a limit of time.
func (a *asker) docker(ctx context.Context, ask func(context.Context) (EngineInfo, error)) Docker {
	limited, cancel := context.WithTimeoutCause(ctx, a.limit, errHung)
	defer cancel()
	e, err := ask(limited)
	if err != nil {
		d := Docker{DiskFree: -1, Problem: string(container.KindOf(err)), Message: oneLine(err.Error())}
		if errors.Is(context.Cause(limited), errHung) {
			d.Problem, d.Message = string(container.Unreachable), "the engine does not answer"
		}
		var known *container.Error
		if errors.As(err, &known) {
			d.Hint = known.Hint
		}
		return d
	}
	i := e.Info
	d := Docker{
		Found: true, Podman: i.Podman, Socket: e.Socket, Version: i.Version, API: i.API, CPUs: i.NCPU, Memory: i.Memory,
		Rootless: i.Rootless, StorageDriver: i.StorageDriver, CgroupVersion: i.CgroupVersion, RootDir: i.RootDir,
		Warnings: i.Warnings, DiskFree: -1, NVIDIA: i.NVIDIARuntime,
	}
	for _, name := range i.CDIDevices {
		d.NVIDIA = d.NVIDIA || strings.HasPrefix(name, "nvidia.com/gpu=")
	}
	// docker run --gpus needs no runtime of its own when this hook is there.
	if !d.NVIDIA && a.first(ctx, "nvidia-container-runtime-hook", "/usr/bin", "/usr/local/bin") != "" {
		d.NVIDIA = true
	}
	if !d.NVIDIA && i.CDI {
		d.NVIDIA = a.hasCDI(ctx)
	}
	if i.RootDir != "" && a.exists(ctx, i.RootDir) {
		if disk := a.disk(ctx, i.RootDir); disk.Total > 0 && disk.Path == i.RootDir {
			d.DiskFree = disk.Free
		}
	}
	return d
}

// hasCDI reports whether NVIDIA's devices are described for the engine.
func (a *asker) hasCDI(ctx context.Context) bool {
	for _, dir := range []string{"/etc/cdi", "/var/run/cdi"} {
		entries, err := a.host.ReadDir(ctx, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "nvidia") {
				return true
			}
		}
	}
	return false
}
