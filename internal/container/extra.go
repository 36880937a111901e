package container

import (
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// Extra is what docker.arguments add to a container, see ParseArguments.
type Extra struct {
	Env      []string
	Labels   map[string]string
	User     string
	Hostname string
	Network  string
	IPC      string
	PID      string
	Runtime  string
	// Privileged shows the container every device, GPUs included.
	Privileged bool
	ReadOnly   bool
	Init       bool
	// ShmSize in bytes; zero: as the spec says.
	ShmSize     int64
	Ulimits     []*container.Ulimit
	CapAdd      []string
	CapDrop     []string
	SecurityOpt []string
	Devices     []container.DeviceMapping
	Mounts      []mount.Mount
	Tmpfs       map[string]string
	Sysctls     map[string]string
	GroupAdd    []string
	ExtraHosts  []string
	DNS         []netip.Addr
	PidsLimit   *int64
	OOMScoreAdj int
}

// addTo adds them to a request.
func (x Extra) addTo(c *container.Config, h *container.HostConfig) {
	c.Env = append(c.Env, x.Env...)
	for name, value := range x.Labels {
		if _, ours := c.Labels[name]; !ours {
			c.Labels[name] = value
		}
	}
	setText(&c.User, x.User)
	setText(&c.Hostname, x.Hostname)
	setText(&h.NetworkMode, container.NetworkMode(x.Network))
	setText(&h.IpcMode, container.IpcMode(x.IPC))
	setText(&h.PidMode, container.PidMode(x.PID))
	setText(&h.Runtime, x.Runtime)
	h.Privileged = h.Privileged || x.Privileged
	h.ReadonlyRootfs = h.ReadonlyRootfs || x.ReadOnly
	if x.Init {
		h.Init = &x.Init
	}
	if x.ShmSize != 0 {
		h.ShmSize = x.ShmSize
	}
	h.Ulimits = append(h.Ulimits, x.Ulimits...)
	h.CapAdd = append(h.CapAdd, x.CapAdd...)
	h.CapDrop = append(h.CapDrop, x.CapDrop...)
	h.SecurityOpt = append(h.SecurityOpt, x.SecurityOpt...)
	h.Devices = append(h.Devices, x.Devices...)
	h.Mounts = append(h.Mounts, x.Mounts...)
	h.Tmpfs, h.Sysctls = x.Tmpfs, x.Sysctls
	h.GroupAdd = append(h.GroupAdd, x.GroupAdd...)
	slices.Sort(h.GroupAdd)
	h.GroupAdd = slices.Compact(h.GroupAdd)
	h.ExtraHosts = append(h.ExtraHosts, x.ExtraHosts...)
	h.DNS = append(h.DNS, x.DNS...)
	h.PidsLimit = x.PidsLimit
	h.OomScoreAdj = x.OOMScoreAdj
}

func setText[T ~string](to *T, value T) {
	if value != "" {
		*to = value
	}
}
