package machine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/provision"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/workcopy"
)

// Config of a Machine.
type Config struct {
	Host host.Host
	// Installation identifies us on an engine that several share.
	Installation string
	// Store holds the sources, on this computer.
	Store *snapshot.Store
	// Programs has our program for other platforms than ours; nil: a host must be
	// of ours.
	Programs *program.Finder
	// Opening hears how far New is; it may be nil.
	Opening backends.Progress
	// Unreachable reports whether an error of Host says that it cannot be asked
	// now, so that asking later can help; nil: none does.
	Unreachable func(error) bool
	// Engine options for the host's Docker engine, opened when it is needed.
	Engine container.Options
	// Images are the base images that "cpu" and "gpu" name; nil: the built-in ones.
	Images []environment.BaseImage
	// MaxLog is how many bytes of an attempt's output are kept; zero:
	// supervise.DefaultMaxLog.
	MaxLog int64
	// Environ is what plain processes inherit the baseline of, "NAME=value";
	// nil: what the host gives to whoever logs in.
	Environ []string
	// Jobs: attempts are jobs of a batch engine, on machines that see Host's
	// root. See Job.
	Jobs bool
	// Credential gives the right to read a storage account; nil: there is none.
	Credential func(ctx context.Context, account string) (blob.Credential, error)
	// Here is a root on this computer, for what the host cannot fetch itself;
	// empty: nothing goes this way.
	Here string
	// Nodes says how something is started on each of several nodes; nil: there
	// is one.
	Nodes func(count int) ranks.Nodes
	// Launcher puts a program between the supervisor and the script; nil: none.
	Launcher Launcher
	// Probe says what the host has; nil: inventory.Probe of Host.
	Probe func(ctx context.Context) (*inventory.Inventory, error)
}

// Machine carries attempts out on one host. Close it.
type Machine struct {
	config Config
	host   host.Host
	local  bool
	// remote is what a host needs that is not this computer; else nil.
	remote *remote
	// served is the host asked through a process of ours there; nil here.
	served       *onhost.Host
	copies       copies
	directories  directories
	bin          string
	keeper       *supervise.Keeper
	environments *provision.Provisioner
	engines      engines
	layout       layout
	platform     host.Platform
	probe        probe

	attempts attemptLocks
	ready    readyRecords
	watching watchers
}

var (
	_ backends.Backend           = (*Machine)(nil)
	_ backends.Watcher           = (*Machine)(nil)
	_ backends.Viewer            = (*Machine)(nil)
	_ backends.Sweeper           = (*Machine)(nil)
	_ backends.Sizer             = (*Machine)(nil)
	_ backends.LogFinder         = (*Machine)(nil)
	_ backends.EnvironmentKeeper = (*Machine)(nil)
	_ backends.Planner           = (*Machine)(nil)
	_ backends.Pruner            = (*Machine)(nil)
)

// New makes the machine ready: the supervisor's program is put on it.
func New(ctx context.Context, c Config) (*Machine, error) {
	if c.Installation == "" {
		return nil, errors.New("machine: the installation has no name")
	}
	bin, served, err := install(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	platform, err := c.Host.Platform(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("machine: %w", err), closeServed(served))
	}
	c.Environ = baseline(c.Environ)
	direct := c.Host
	if served != nil {
		c.Host = served
	}
	m := &Machine{
		served: served,
		config: c, host: c.Host, bin: bin, keeper: supervise.New(c.Host, bin), platform: platform,
		layout: layout(c.Host.Root()),
	}
	if _, m.local = c.Host.(host.Local); m.local {
		shelf := workcopy.Open(path.Join(string(m.layout), workcopy.Dir), c.Store, platform.BootID)
		m.copies, m.directories = copiesHere{shelf}, directoriesHere{shelf}
		m.pruneBins(ctx)
	} else {
		m.remote = newRemote(c, direct, bin, m.layout)
		m.copies, m.directories = m.remote.unpacker, served
	}
	m.engines = engines{host: c.Host, options: c.Engine}
	switch {
	case c.Probe != nil:
		m.probe.ask = c.Probe
	case served != nil:
		m.probe.ask = served.Probe
	default:
		m.probe.ask = func(ctx context.Context) (*inventory.Inventory, error) { return inventory.Probe(ctx, c.Host) }
	}
	m.environments = provision.New(provision.Config{
		Host: c.Host, Keeper: m.keeper, Engine: m.engines.get, Images: c.Images, Driver: m.driver, Contexts: c.Store, OpenLog: m.openLog,
		Environ: c.Environ, Home: c.Installation, InUse: m.environmentsInUse,
	})
	return m, nil
}

// Close ends what goes on in the background. Attempts and builds go on.
func (m *Machine) Close() error {
	m.environments.Close()
	err := m.engines.close()
	return errors.Join(err, closeServed(m.served))
}

func closeServed(served *onhost.Host) error {
	if served == nil {
		return nil
	}
	return served.Close()
}

// engines opens the host's engine when it is first needed, and again when that
// failed.
type engines struct {
	host    host.Host
	options container.Options

	mu   sync.Mutex
	open *container.Engine
}

func (e *engines) get(ctx context.Context) (*container.Engine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open != nil {
		return e.open, nil
	}
	opened, err := container.Open(ctx, e.host, e.options)
	if err != nil {
		return nil, err
	}
	e.open = opened
	return opened, nil
}

func (e *engines) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		return nil
	}
	err := e.open.Close()
	e.open = nil
	return err
}

// attemptLocks lets one verb at a time change an attempt.
type attemptLocks struct {
	mu    sync.Mutex
	locks map[string]*attemptLock
}

type attemptLock struct {
	sync.Mutex
	users int
}

// lock waits for the attempt; call the result when done.
func (a *attemptLocks) lock(ref backends.Ref) (unlock func()) {
	key := mark(ref)
	a.mu.Lock()
	if a.locks == nil {
		a.locks = map[string]*attemptLock{}
	}
	l := a.locks[key]
	if l == nil {
		l = &attemptLock{}
		a.locks[key] = l
	}
	l.users++
	a.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		a.mu.Lock()
		defer a.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(a.locks, key)
		}
	}
}
