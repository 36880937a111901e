package compute

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/runconfig"
)

// EngineSlurm is the engine of clusters that is known.
const EngineSlurm = "slurm"

// ClusterConfig is what a cluster is beyond the machine where its engine is
// spoken to.
type ClusterConfig struct {
	// Engine is EngineSlurm.
	Engine string `json:"engine"`
	// Bin is the directory of the engine's commands; empty: they are in PATH.
	Bin string `json:"bin,omitempty"`
	// Slurm is what every run is given that does not say otherwise.
	Slurm runconfig.Slurm `json:"slurm"`
	// LowPriority is what runs with vm_priority: lowpriority are given.
	LowPriority runconfig.Slurm `json:"lowpriority"`
	// MaxInFlight is how many runs are with the engine at most, waiting or
	// running; zero: DefaultMaxInFlight.
	MaxInFlight int `json:"max_in_flight,omitempty"`
}

// DefaultMaxInFlight keeps a cluster's queue from being flooded.
const DefaultMaxInFlight = 1000

// clustersDir holds, at home, what belongs to clusters that are spoken to here.
const clustersDir = "clusters"

// HereRoot is our directory for a target on this computer.
func (t *Target) HereRoot(home string) string {
	if t.Config.RemoteDir != "" {
		return t.Config.RemoteDir
	}
	return path.Join(home, clustersDir, t.Name)
}

// ConnectHere is this computer as a connection, which ends with it.
func ConnectHere(ctx context.Context, h *host.Here) (Connection, error) {
	platform, err := h.Platform(ctx)
	if err != nil {
		return nil, err
	}
	return hereConnection{Here: h, platform: platform}, nil
}

type hereConnection struct {
	*host.Here
	platform host.Platform
}

// Greeting is what a login would find here.
func (c hereConnection) Greeting() sshhost.Greeting {
	g := sshhost.Greeting{Root: c.Root(), Platform: c.platform, Files: map[string]sshhost.Found{}}
	for _, name := range AskAtLogin() {
		file := name
		if !path.IsAbs(file) {
			file = path.Join(c.Root(), file)
		}
		data, err := os.ReadFile(file)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			g.Files[file] = sshhost.Found{There: err == nil, Content: string(data)}
		}
	}
	return g
}

// Judge: one never logs in again.
func (hereConnection) Judge(func(sshhost.Greeting) error) {}

// HostKey is that of nobody.
func (hereConnection) HostKey() string { return "" }

// Trouble: this computer answers.
func (hereConnection) Trouble() (time.Time, error) { return time.Time{}, nil }

// identity tells the target apart from others: a cluster by itself, whatever
// the machine where it is spoken to; a machine by its id.
func (v *Visit) identity(ctx context.Context) (string, error) {
	if v.t.Kind.OnCluster() {
		return v.m.ClusterID(ctx, v.t, v.c)
	}
	return machineIDOf(v.c.Greeting()), nil
}

// sameCluster sees that a cluster is still the one that was attached.
func (v *Visit) sameCluster(ctx context.Context) error {
	if !v.t.Kind.OnCluster() || v.t.MachineID == "" {
		return nil
	}
	id, err := v.identity(ctx)
	if err != nil {
		return err
	}
	if id != v.t.MachineID {
		return &OtherMachineError{Name: v.t.Name}
	}
	return nil
}
