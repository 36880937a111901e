package container

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

var errEmpty = errors.New("the value is empty")

func notEmpty(v string, then func()) error {
	if v == "" {
		return errEmpty
	}
	then()
	return nil
}

// parseSize reads a size as docker does: "512m", "8g", "1.5GiB", all binary.
func parseSize(v string) (int64, error) {
	size, err := units.RAMInBytes(v)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a size: use for example 512m or 8g", v)
	case size <= 0:
		return 0, fmt.Errorf("%q is not a size above zero", v)
	}
	return size, nil
}

// pairs stores NAME=value.
func pairs(to *map[string]string) func(string) error {
	return func(v string) error {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not NAME=value", v)
		}
		if *to == nil {
			*to = map[string]string{}
		}
		(*to)[name] = value
		return nil
	}
}

func (x *Extra) addEnv(v string) error {
	name, _, ok := strings.Cut(v, "=")
	switch {
	case name == "":
		return errors.New("a variable without a name")
	case !ok:
		return fmt.Errorf("%s has no value: write %s=VALUE, or name it in secrets", name, name)
	case name == visibleDevices:
		return fmt.Errorf("%s cannot be given here: use resources.gpus", name)
	}
	x.Env = append(x.Env, v)
	return nil
}

func (x *Extra) addLabel(v string) error {
	if strings.HasPrefix(v, "dev.runner.") {
		return fmt.Errorf("%q: labels that begin with dev.runner. are Runner's own", v)
	}
	if !strings.Contains(v, "=") {
		v += "="
	}
	return pairs(&x.Labels)(v)
}

func (x *Extra) addHost(v string) error {
	name, address, ok := strings.Cut(v, ":")
	if !ok {
		name, address, ok = strings.Cut(v, "=")
	}
	if !ok || name == "" || address == "" {
		return fmt.Errorf("%q is not NAME:ADDRESS", v)
	}
	x.ExtraHosts = append(x.ExtraHosts, name+":"+address)
	return nil
}

func (x *Extra) setPidsLimit(v string) error {
	limit, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", v)
	}
	x.PidsLimit = &limit
	return nil
}

// gpuDevices are files that give a GPU to whoever has them.
var gpuDevices = []string{"/dev/nvidia", "/dev/kfd", "/dev/dri", "nvidia.com/gpu", "amd.com/gpu"}

// addDevice reads HOST[:CONTAINER[:rwm]].
func (x *Extra) addDevice(v string) error {
	parts := strings.Split(v, ":")
	d := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	isMode := func(s string) bool { return s != "" && strings.Trim(s, "rwm") == "" }
	switch {
	case slices.ContainsFunc(gpuDevices, func(p string) bool { return strings.HasPrefix(v, p) }):
		return errors.New("a GPU cannot be given here: use resources.gpus")
	case len(parts) > 3, !path.IsAbs(parts[0]):
		return fmt.Errorf("%q is not HOST[:CONTAINER[:rwm]] with absolute paths", v)
	case len(parts) == 2 && isMode(parts[1]):
		d.CgroupPermissions = parts[1]
	case len(parts) >= 2:
		d.PathInContainer = parts[1]
	}
	if len(parts) == 3 {
		d.CgroupPermissions = parts[2]
	}
	if !path.IsAbs(d.PathInContainer) || !isMode(d.CgroupPermissions) {
		return fmt.Errorf("%q is not HOST[:CONTAINER[:rwm]] with absolute paths", v)
	}
	x.Devices = append(x.Devices, d)
	return nil
}

// addTmpfs reads PATH[:OPTIONS].
func (x *Extra) addTmpfs(v string) error {
	target, options, _ := strings.Cut(v, ":")
	if !path.IsAbs(target) {
		return fmt.Errorf("%q is not PATH[:OPTIONS] with an absolute path", v)
	}
	if x.Tmpfs == nil {
		x.Tmpfs = map[string]string{}
	}
	x.Tmpfs[target] = options
	return nil
}

func (x *Extra) addVolume(v string) error {
	m, err := ParseVolume(v)
	if err != nil {
		return err
	}
	x.Mounts = append(x.Mounts, m)
	return nil
}

// ParseVolume reads SOURCE:TARGET[:OPTIONS] as docker run's --volume does.
// SOURCE is an absolute path, which must be there, or a volume's name; OPTIONS
// are ro or rw.
func ParseVolume(v string) (mount.Mount, error) {
	wrong := func(why string) (mount.Mount, error) {
		return mount.Mount{}, fmt.Errorf("volume %q: %s", v, why)
	}
	parts := strings.Split(v, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return wrong("it is not SOURCE:TARGET[:ro]")
	}
	m := mount.Mount{Type: mount.TypeBind, Source: parts[0], Target: parts[1]}
	switch {
	case !path.IsAbs(m.Target):
		return wrong("the path in the container must be absolute")
	case path.IsAbs(m.Source):
	case runName.MatchString(m.Source):
		m.Type = mount.TypeVolume
	default:
		return wrong("the path on the machine must be absolute")
	}
	if len(parts) == 3 {
		for o := range strings.SplitSeq(parts[2], ",") {
			switch o {
			case "ro":
				m.ReadOnly = true
			case "rw":
			default:
				return wrong(fmt.Sprintf("option %q is not understood: use ro or rw", o))
			}
		}
	}
	return m, nil
}

// addMount reads docker run's --mount for binds, volumes and tmpfs.
func (x *Extra) addMount(v string) error {
	fields, err := csv.NewReader(strings.NewReader(v)).Read()
	if err != nil {
		return fmt.Errorf("%q is not a list of KEY=value", v)
	}
	m := mount.Mount{Type: mount.TypeVolume}
	for _, f := range fields {
		key, value, hasValue := strings.Cut(f, "=")
		if err := setMount(&m, strings.ToLower(key), value, hasValue); err != nil {
			return err
		}
	}
	switch {
	case !path.IsAbs(m.Target):
		return errors.New("target must be an absolute path")
	case m.Type == mount.TypeBind && !path.IsAbs(m.Source):
		return errors.New("source must be an absolute path")
	case m.Type == mount.TypeVolume && m.Source != "" && !runName.MatchString(m.Source):
		return fmt.Errorf("source %q is not a volume's name; type=bind mounts a path", m.Source)
	case m.Type == mount.TypeTmpfs && m.Source != "":
		return errors.New("a tmpfs has no source")
	case m.Type != mount.TypeTmpfs && m.TmpfsOptions != nil:
		return errors.New("tmpfs-size and tmpfs-mode need type=tmpfs")
	case m.Type != mount.TypeBind && m.BindOptions != nil:
		return errors.New("bind-propagation needs type=bind")
	}
	x.Mounts = append(x.Mounts, m)
	return nil
}

// setMount sets one key of a --mount.
func setMount(m *mount.Mount, key, value string, hasValue bool) error {
	switch key {
	case "type":
		m.Type = mount.Type(value)
		if m.Type != mount.TypeBind && m.Type != mount.TypeVolume && m.Type != mount.TypeTmpfs {
			return fmt.Errorf("type %q is not understood: use bind, volume or tmpfs", value)
		}
	case "source", "src":
		m.Source = value
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		m.ReadOnly = !hasValue || value == "true" || value == "1"
		if hasValue && !m.ReadOnly && value != "false" && value != "0" {
			return fmt.Errorf("%s=%q is neither true nor false", key, value)
		}
	case "bind-propagation":
		m.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(value)}
		if !slices.Contains(mount.Propagations, m.BindOptions.Propagation) {
			return fmt.Errorf("bind-propagation %q is not understood", value)
		}
	case "tmpfs-size":
		size, err := parseSize(value)
		if err != nil {
			return err
		}
		tmpfs(m).SizeBytes = size
	case "tmpfs-mode":
		mode, err := strconv.ParseUint(value, 8, 12)
		if err != nil {
			return fmt.Errorf("tmpfs-mode %q is not an octal mode", value)
		}
		tmpfs(m).Mode = os.FileMode(mode)
	default:
		return fmt.Errorf("mount option %q is not understood", key)
	}
	return nil
}

func tmpfs(m *mount.Mount) *mount.TmpfsOptions {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &mount.TmpfsOptions{}
	}
	return m.TmpfsOptions
}
