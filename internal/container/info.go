package container

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

// Info is what an engine says of itself.
type Info struct {
	// Podman: the engine is podman; else it is Docker.
	Podman bool
	// Version of the engine, for example "28.5.2".
	Version string
	// API version spoken with it, for example "1.41".
	API string
	// OS and Arch in Go's words.
	OS, Arch string
	// NCPU and Memory (bytes) that the engine has.
	NCPU   int
	Memory int64
	// Rootless: the engine runs as a user, and root in a container is that user.
	Rootless bool
	// RemapsUsers: a container's users are other users outside (userns-remap).
	RemapsUsers bool
	// SELinux: containers are confined, and see no files that are not labelled.
	SELinux bool
	// StorageDriver, for example "overlay2".
	StorageDriver string
	// CgroupVersion is "1", "2" or empty.
	CgroupVersion string
	// NVIDIARuntime: the NVIDIA container runtime is set up.
	NVIDIARuntime bool
	// CDI: devices can be asked for by CDI name; CDIDevices are those known.
	CDI        bool
	CDIDevices []string
	// RootDir is where the engine keeps images and containers.
	RootDir string
	// Warnings of the engine's own, for example that memory limits do not work.
	Warnings []string
}

// Info asks the engine for what it is.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	const op = "ask Docker engine"
	ctx, cancel := brief(ctx)
	defer cancel()
	ping, err := e.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err != nil {
		if ping.APIVersion != "" && versions.LessThan(ping.APIVersion, minAPI) {
			return Info{}, tooOld(op, ping.APIVersion)
		}
		return Info{}, wrap(ctx, op, err)
	}
	if versions.LessThan(e.api.ClientVersion(), minAPI) {
		return Info{}, tooOld(op, e.api.ClientVersion())
	}
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return Info{}, wrap(ctx, op, err)
	}
	answer, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Info{}, wrap(ctx, op, err)
	}
	info := infoOf(answer.Info)
	info.API = e.api.ClientVersion()
	info.Podman = slices.ContainsFunc(version.Components, func(c system.ComponentVersion) bool {
		return strings.Contains(c.Name, "Podman")
	})
	info.Version, info.OS, info.Arch = version.Version, version.Os, version.Arch
	if info.Podman {
		info.CDI = true
		if info.Rootless, err = e.podmanIsRootless(ctx); err != nil {
			return Info{}, wrap(ctx, op, err)
		}
	}
	return info, nil
}

// podmanIsRootless asks podman for what Docker's API has no field for: not
// every podman says it among its security options.
func (e *Engine) podmanIsRootless(ctx context.Context) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+client.DummyHost+"/v"+minAPI+"/info", nil)
	if err != nil {
		return false, err
	}
	dial := dialler(e.host, e.socket)
	response, err := (&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	var says struct {
		Rootless        bool
		SecurityOptions []string
	}
	if err := json.NewDecoder(response.Body).Decode(&says); err != nil {
		return false, err
	}
	return says.Rootless || slices.Contains(says.SecurityOptions, "name=rootless"), nil
}

func infoOf(i system.Info) Info {
	info := Info{
		NCPU: i.NCPU, Memory: i.MemTotal, StorageDriver: i.Driver, CgroupVersion: i.CgroupVersion,
		RootDir: i.DockerRootDir, Warnings: i.Warnings,
		CDI: len(i.CDISpecDirs) > 0,
	}
	for _, option := range i.SecurityOptions {
		for field := range strings.SplitSeq(option, ",") {
			switch field {
			case "name=rootless":
				info.Rootless = true
			case "name=userns":
				info.RemapsUsers = true
			case "name=selinux":
				info.SELinux = true
			}
		}
	}
	_, info.NVIDIARuntime = i.Runtimes["nvidia"]
	for _, d := range i.DiscoveredDevices {
		if d.Source == "cdi" {
			info.CDIDevices = append(info.CDIDevices, d.ID)
		}
	}
	return info
}

func tooOld(op, api string) error {
	return newError(EngineTooOld, op, fmt.Errorf("it speaks API %s, older than %s", api, minAPI))
}
