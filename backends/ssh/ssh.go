package ssh

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/snapshot"
)

// Options of the SSH backend.
type Options struct {
	// Host is the machine, connected by sshhost. Whoever opened it closes it,
	// after the backend.
	Host host.Host
	// Installation is this RUNNER_HOME's own name, for engines that several share.
	Installation string
	// Snapshots is where sources and inputs are sent from.
	Snapshots *snapshot.Store
	// Programs has our program for machines of other platforms; nil: there is none.
	Programs *program.Finder
	// Opening hears how far New is; it may be nil.
	Opening backends.Progress
	// Engine says where the machine's Docker engine listens, when it is not
	// found by itself.
	Engine container.Options
	// Images are the base images that "cpu" and "gpu" name; nil: the built-in ones.
	Images []environment.BaseImage
	// MaxLog is how many bytes of an attempt's output are kept; zero: the default.
	MaxLog int64
	// Credential gives the right to read a storage account; nil: there is none.
	Credential func(ctx context.Context, account string) (blob.Credential, error)
	// Here is a root on this computer, for data that the machine cannot fetch
	// itself; empty: nothing goes this way.
	Here string
	// Probe says what the machine has; nil: it is asked.
	Probe func(ctx context.Context) (*inventory.Inventory, error)
}

// Backend is a machine reached over SSH. Close it.
type Backend struct {
	*machine.Machine
}

var (
	_ backends.Backend = (*Backend)(nil)
	_ backends.Sizer   = (*Backend)(nil)
)

// New opens the backend: our program is put on the machine, if it is not there.
func New(ctx context.Context, o Options) (*Backend, error) {
	m, err := machine.New(ctx, machine.Config{
		Host: o.Host, Installation: o.Installation, Store: o.Snapshots, Programs: o.Programs, Engine: o.Engine, Images: o.Images, MaxLog: o.MaxLog, Probe: o.Probe,
		Credential: o.Credential, Here: o.Here, Opening: o.Opening,
		Unreachable: func(err error) bool { return errors.Is(err, sshhost.ErrUnreachable) },
	})
	if err != nil {
		return nil, fmt.Errorf("ssh backend: %w", err)
	}
	return &Backend{Machine: m}, nil
}
