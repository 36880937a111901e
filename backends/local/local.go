package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/provision"
)

// Options of the local backend.
type Options struct {
	// Home is RUNNER_HOME, an absolute path. Attempts lie in it where their
	// artifacts are kept, so that what they leave need not be copied.
	Home string
	// Installation is this RUNNER_HOME's own name, for engines that several share.
	Installation string
	// Snapshots is where sources are taken from.
	Snapshots provision.Unpacker
	// Engine says where the Docker engine listens, when it is not found by itself.
	Engine container.Options
	// Images are the base images that "cpu" and "gpu" name; nil: the built-in ones.
	Images []environment.BaseImage
	// MaxLog is how many bytes of an attempt's output are kept; zero: the default.
	MaxLog int64
	// Environ is what plain processes inherit; nil: our own environment.
	Environ []string
	// GPUs lists this computer's devices; nil: it has none.
	GPUs func(ctx context.Context) ([]machine.GPU, error)
	// Driver is the version of the NVIDIA driver; nil: none.
	Driver func(ctx context.Context) (string, error)
}

// Backend is this computer. Close it.
type Backend struct {
	*machine.Machine
	here *host.Here
	gpus func(ctx context.Context) ([]machine.GPU, error)
}

var (
	_ backends.Backend = (*Backend)(nil)
	_ backends.Sizer   = (*Backend)(nil)
)

// New opens the backend.
func New(ctx context.Context, o Options) (*Backend, error) {
	here := host.NewHere(o.Home)
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	m, err := machine.New(ctx, machine.Config{
		Host: here, Installation: o.Installation, Snapshots: o.Snapshots, Engine: o.Engine, Images: o.Images,
		MaxLog: o.MaxLog, Environ: environ, GPUs: o.GPUs, Driver: o.Driver,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("local backend: %w", err), here.Close())
	}
	return &Backend{Machine: m, here: here, gpus: o.GPUs}, nil
}

// Close ends what goes on in the background. Attempts go on.
func (b *Backend) Close() error { return errors.Join(b.Machine.Close(), b.here.Close()) }

// Size is what this process may use of the computer: a container or a batch
// system around us may give less than all.
func (b *Backend) Size(ctx context.Context) (backends.Size, error) {
	cpus, memory, err := size()
	if err != nil {
		return backends.Size{}, fmt.Errorf("size of this computer: %w", err)
	}
	s := backends.Size{CPUs: cpus, Memory: memory}
	if b.gpus == nil {
		return s, nil
	}
	devices, err := b.gpus(ctx)
	if err != nil {
		return backends.Size{}, fmt.Errorf("size of this computer: %w", err)
	}
	for _, d := range devices {
		s.GPUs = append(s.GPUs, d.GPU)
	}
	return s, nil
}
