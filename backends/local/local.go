package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/snapshot"
)

// Options of the local backend.
type Options struct {
	// Home is RUNNER_HOME, an absolute path. Attempts lie in it where their
	// artifacts are kept, so that what they leave need not be copied.
	Home string
	// Installation is this RUNNER_HOME's own name, for engines that several share.
	Installation string
	// Snapshots is where sources are taken from.
	Snapshots *snapshot.Store
	// Engine says where the Docker engine listens, when it is not found by itself.
	Engine container.Options
	// Images are the base images that "cpu" and "gpu" name; nil: the built-in ones.
	Images []environment.BaseImage
	// MaxLog is how many bytes of an attempt's output are kept; zero: the default.
	MaxLog int64
	// Environ is what plain processes inherit; nil: our own environment.
	Environ []string
	// CPUs and Memory (in bytes) are the share of this computer that runs may
	// take; zero: all of it.
	CPUs   float64
	Memory int64
	// Credential gives the right to read a storage account; nil: there is none.
	Credential func(ctx context.Context, account string) (blob.Credential, error)
	// Probe says what this computer has; nil: we ask it.
	Probe func(ctx context.Context) (*inventory.Inventory, error)
}

// Backend is this computer. Close it.
type Backend struct {
	*machine.Machine
	here   *host.Here
	cpus   float64
	memory int64
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
		Host: here, Installation: o.Installation, Store: o.Snapshots, Engine: o.Engine, Images: o.Images,
		MaxLog: o.MaxLog, Environ: environ, Probe: o.Probe,
		Credential: o.Credential,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("local backend: %w", err), here.Close())
	}
	return &Backend{Machine: m, here: here, cpus: o.CPUs, memory: o.Memory}, nil
}

// Close ends what goes on in the background. Attempts go on.
func (b *Backend) Close() error { return errors.Join(b.Machine.Close(), b.here.Close()) }

// Size is what runs may take of this computer: its size, or the share of it
// that the settings give.
func (b *Backend) Size(ctx context.Context) (backends.Size, error) {
	s, err := b.Machine.Size(ctx)
	if err != nil {
		return s, fmt.Errorf("size of this computer: %w", err)
	}
	if b.cpus > 0 {
		s.CPUs = min(s.CPUs, b.cpus)
	}
	if b.memory > 0 {
		s.Memory = min(s.Memory, b.memory)
	}
	return s, nil
}
