package container

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/runnerml/runner/internal/host"
)

// visibleDevices tells the NVIDIA runtime which GPUs a container sees. Images
// made from NVIDIA's set it to "all", and an engine whose default runtime is
// NVIDIA's heeds that without any request.
const visibleDevices = "NVIDIA_VISIBLE_DEVICES"

// GPU is a device for a container. In the container it is the only one, or
// they are numbered from 0 in the order given: an index of the host means
// nothing there.
type GPU struct {
	// ID of an NVIDIA GPU or MIG instance: an index or a UUID.
	ID string
	// Vendor is "nvidia" (or empty) or "amd".
	Vendor string
	// Devices are the device files of an AMD GPU, for example
	// "/dev/dri/renderD128". /dev/kfd comes by itself.
	Devices []string
}

// addGPUs asks for exactly these devices.
func (e *Engine) addGPUs(ctx context.Context, gpus []GPU, c *container.HostConfig) error {
	var nvidia, amd []string
	for _, g := range gpus {
		switch {
		case g.Vendor == "amd" && len(g.Devices) > 0:
			amd = append(amd, g.Devices...)
		case g.Vendor == "amd":
			return fmt.Errorf("AMD GPU %q: its device files are not known", g.ID)
		case g.Vendor != "" && g.Vendor != "nvidia":
			return fmt.Errorf("GPU %q: unknown vendor %q", g.ID, g.Vendor)
		case g.ID == "":
			return fmt.Errorf("a GPU without an id")
		default:
			nvidia = append(nvidia, g.ID)
		}
	}
	if len(nvidia) > 0 {
		c.DeviceRequests = append(c.DeviceRequests, e.info.nvidiaRequest(nvidia))
	}
	if len(amd) == 0 {
		return nil
	}
	files := append([]string{"/dev/kfd"}, amd...)
	groups, err := ownerGroups(ctx, e.host, files)
	if err != nil {
		return err
	}
	c.GroupAdd = append(c.GroupAdd, groups...)
	for _, f := range files {
		c.Devices = append(c.Devices, container.DeviceMapping{PathOnHost: f, PathInContainer: f, CgroupPermissions: "rw"})
	}
	return nil
}

// nvidiaRequest is a request for NVIDIA devices as this engine understands it.
func (i Info) nvidiaRequest(ids []string) container.DeviceRequest {
	const kind = "nvidia.com/gpu="
	known := slices.ContainsFunc(i.CDIDevices, func(d string) bool { return strings.HasPrefix(d, kind) })
	if i.Podman || known && !i.NVIDIARuntime {
		names := make([]string, len(ids))
		for n, id := range ids {
			names[n] = kind + id
		}
		return container.DeviceRequest{Driver: "cdi", DeviceIDs: names}
	}
	return container.DeviceRequest{Driver: "nvidia", DeviceIDs: ids, Capabilities: [][]string{{"gpu"}}}
}

// ownerGroups are the groups that own files of the host: without them only
// root may open an AMD GPU.
func ownerGroups(ctx context.Context, h host.Host, files []string) ([]string, error) {
	var out bytes.Buffer
	if err := h.Run(ctx, host.Command{Argv: append([]string{"stat", "-c", "%g", "--"}, files...), Stdout: &out}); err != nil {
		return nil, newError(NoGPUSupport, "look at GPU device files", err)
	}
	groups := strings.Fields(out.String())
	slices.Sort(groups)
	return slices.Compact(groups), nil
}
