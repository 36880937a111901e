package container

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// Spec is a container to be: one attempt's process and what it may see.
type Spec struct {
	Mark Mark
	// Labels beyond those of the mark.
	Labels map[string]string
	// Image by name or id; the engine must have it.
	Image string
	// Command is the whole command line. The image's entrypoint and command
	// are not used.
	Command []string
	// Env is added to the image's, "NAME=value". An engine shows it to whoever
	// may ask it, so it holds no secrets.
	Env []string
	// Dir is the working directory in the container.
	Dir string
	// UID and GID of the host's user whose files the container writes. They
	// are mapped so that those files belong to that user outside.
	UID, GID int
	// Home is a directory in the container that the user may write to. Empty:
	// the image's own for root, /tmp for others. A HOME in Env goes first.
	Home  string
	Binds []Bind
	// Memory in bytes, swap included; zero: no limit.
	Memory int64
	// CPUs; zero: no limit.
	CPUs float64
	// ShmSize of /dev/shm in bytes; zero: the engine's default.
	ShmSize int64
	// GPUs that the container gets: these and no others.
	GPUs []GPU
	// Extra is what docker.arguments ask for; it has the last word.
	Extra Extra
}

// Bind is a file or directory of the host in the container. Both paths are
// absolute; the source must be there.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// outputSize is how much the engine keeps of what the container's first
// process says; the supervisor says nothing unless it cannot start.
const outputSize = "256k"

func (s *Spec) check() error {
	if err := s.Mark.check(); err != nil {
		return err
	}
	switch {
	case s.Image == "":
		return errors.New("no image")
	case len(s.Command) == 0 || s.Command[0] == "":
		return errors.New("no command")
	case s.Dir != "" && !path.IsAbs(s.Dir):
		return fmt.Errorf("working directory %q is not absolute", s.Dir)
	case s.Memory < 0 || s.CPUs < 0 || s.ShmSize < 0:
		return errors.New("a limit is negative")
	}
	for _, b := range s.Binds {
		if !path.IsAbs(b.Source) || !path.IsAbs(b.Target) {
			return fmt.Errorf("bind of %q to %q: both must be absolute paths", b.Source, b.Target)
		}
	}
	for _, v := range s.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsRune(v, 0) {
			return fmt.Errorf("variable %q is not NAME=value", name)
		}
	}
	return nil
}

// request is the spec in the engine's words.
func (e *Engine) request(ctx context.Context, s *Spec) (client.ContainerCreateOptions, error) {
	if err := s.check(); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	noInit := false
	labels := s.Mark.labels()
	for name, value := range s.Labels {
		labels[name] = value
	}
	user := e.info.user(s.UID, s.GID)
	config := &container.Config{
		Image: s.Image, Entrypoint: s.Command, Env: s.environment(user == root), WorkingDir: s.Dir, Labels: labels,
		User: user,
		// The supervisor takes TERM for a wish to stop, whatever the image says.
		StopSignal:  "SIGTERM",
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	hostConfig := &container.HostConfig{
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": outputSize, "max-file": "1"}},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Init:          &noInit,
		ShmSize:       s.ShmSize,
		Resources: container.Resources{
			// No swap beyond it: what is over the limit ends at once, the same everywhere.
			Memory: s.Memory, MemorySwap: s.Memory,
			NanoCPUs: int64(s.CPUs * 1e9),
		},
		UsernsMode: e.info.userns(),
	}
	if e.info.SELinux {
		// Labelling the user's own files for containers would harm them.
		hostConfig.SecurityOpt = []string{"label=disable"}
	}
	for _, b := range s.Binds {
		hostConfig.Mounts = append(hostConfig.Mounts, mount.Mount{Type: mount.TypeBind, Source: b.Source, Target: b.Target, ReadOnly: b.ReadOnly})
	}
	if err := e.addGPUs(ctx, s.GPUs, hostConfig); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	s.Extra.addTo(config, hostConfig)
	return client.ContainerCreateOptions{Name: s.Mark.Name(), Config: config, HostConfig: hostConfig}, nil
}

// environment is Env with what a process of a user whom the image does not
// know needs; root it knows.
func (s *Spec) environment(isRoot bool) []string {
	has := func(name string) bool {
		given := func(v string) bool { return strings.HasPrefix(v, name+"=") }
		return slices.ContainsFunc(s.Env, given) || slices.ContainsFunc(s.Extra.Env, given)
	}
	// Which devices there are is decided by the request, not by a variable.
	env := slices.DeleteFunc(slices.Clone(s.Env), func(v string) bool { return strings.HasPrefix(v, visibleDevices+"=") })
	home := s.Home
	if home == "" && !isRoot {
		home = "/tmp"
	}
	if home != "" && !has("HOME") {
		env = append(env, "HOME="+home)
	}
	// Python's getpass and others ask for a name.
	for _, name := range []string{"USER", "LOGNAME"} {
		if !isRoot && !has(name) {
			env = append(env, name+"=runner")
		}
	}
	if len(s.GPUs) == 0 {
		env = append(env, visibleDevices+"=void")
	}
	return env
}
