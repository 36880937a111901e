package provision

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
)

// Config of a Provisioner.
type Config struct {
	Host   host.Host
	Keeper *supervise.Keeper
	// Engine opens the host's Docker engine; nil: there is none.
	Engine func(ctx context.Context) (*container.Engine, error)
	// Images are the base images that "cpu" and "gpu" name.
	Images []environment.BaseImage
	// Driver is the version of the host's NVIDIA driver, empty without one.
	Driver func(ctx context.Context) (string, error)
	// Contexts holds the build contexts of Dockerfiles.
	Contexts Unpacker
	// Environ is the environment that builds run in, "NAME=value"; nil: the host's own.
	Environ []string
	// Home marks the images that are made as this installation's.
	Home string
	// OpenLog reads what a supervised build says; nil: Keeper.OpenLog.
	OpenLog func(ctx context.Context, dir string, offset int64, follow bool) (io.ReadCloser, error)
	// InUse tells the digests of environments that must stay.
	InUse func(ctx context.Context) (map[string]bool, error)
}

// Unpacker writes a snapshot into a directory of this computer.
type Unpacker interface {
	Unpack(ctx context.Context, id snapshot.ID, dst string, progress func(snapshot.Progress)) error
}

// Provisioner makes environments on one host. It is safe for concurrent use.
type Provisioner struct {
	Config

	builds flights
	// mu guards removal against those who have just found what is removed.
	mu      sync.Mutex
	touched map[string]time.Time
	// wanted is when images that are not made here were asked for last.
	wanted map[string]time.Time
}

// New makes a Provisioner.
func New(c Config) *Provisioner {
	if c.OpenLog == nil && c.Keeper != nil {
		c.OpenLog = c.Keeper.OpenLog
	}
	return &Provisioner{Config: c, touched: map[string]time.Time{}, wanted: map[string]time.Time{}}
}

// Close lets go of the builds, which go on, and waits for our goroutines.
func (p *Provisioner) Close() { p.builds.close() }

// Made is an environment ready to be used.
type Made struct {
	environment.Activation
	// Image that scripts run in, or empty.
	Image string
}

// Ensure makes the environment unless it is there. password is that of its
// registry, or empty. What the tools say goes to log (nil: nowhere). Errors
// that the environment is to blame for are *backends.Failure.
func (p *Provisioner) Ensure(ctx context.Context, r *environment.Resolved, password string, progress backends.Progress, log io.Writer) (Made, error) {
	switch r.Kind {
	case environment.Existing:
		return Made{Activation: r.Activate("")}, nil
	case environment.Venv, environment.CondaEnv:
		return p.ensureDirectory(ctx, r, progress, log)
	default:
		return p.ensureImage(ctx, r, password, progress, log)
	}
}

// Cached reports whether the environment is there already.
func (p *Provisioner) Cached(ctx context.Context, r *environment.Resolved) (bool, error) {
	switch r.Kind {
	case environment.Existing:
		return true, nil
	case environment.Venv, environment.CondaEnv:
		return p.isReady(ctx, r)
	default:
		return p.hasImage(ctx, r)
	}
}

// Plan says how the environment would be used, and whether it is there already.
// Nil is no environment: python3 as it is found.
func (p *Provisioner) Plan(ctx context.Context, r *environment.Resolved) (made Made, cached bool, err error) {
	if r == nil {
		return Made{Activation: environment.Activation{Interpreter: "python3"}}, true, nil
	}
	switch r.Kind {
	case environment.Existing:
	case environment.Venv, environment.CondaEnv:
		made.Activation = r.Activate(p.place(r.Digest).prefix)
		cached, err = p.isReady(ctx, r)
		return made, cached, err
	default:
		plan, err := p.planImage(ctx, r, nil)
		if err != nil {
			return Made{}, false, err
		}
		cached, err = p.hasImage(ctx, r)
		if err != nil {
			cached = false // no engine: the plan is still what it is
		}
		return Made{Activation: r.Activate(""), Image: plan.reference}, cached, nil
	}
	return Made{Activation: r.Activate("")}, true, nil
}

// variable of the environment that builds run in.
func (p *Provisioner) variable(name string) (string, bool) {
	for i := len(p.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(p.Environ[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// digestPrefix begins a digest.
const digestPrefix = "sha256:"

// hexOf is the part of a digest that is fit for file names.
func hexOf(digest string) string { return strings.TrimPrefix(digest, digestPrefix) }
