package main

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/cluster"
	"github.com/runnerml/runner/backends/cluster/slurm"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/internal/snapshot"
)

// clusters opens the clusters that targets are.
type clusters struct {
	installation string
	snapshots    *snapshot.Store
	programs     *program.Finder
	set          *settings.Settings
	storage      *storageAccounts
	// home is RUNNER_HOME.
	home string
}

func (c clusters) engine(t *compute.Target, on compute.Connection) *slurm.Engine {
	cfg := t.Config.Cluster
	return slurm.New(slurm.Options{
		Host: on, Bin: cfg.Bin, Installation: c.installation, Defaults: cfg.Slurm, LowPriority: cfg.LowPriority,
	})
}

// connectHere is this computer with our things under root.
func connectHere(ctx context.Context, root string) (compute.Connection, error) {
	here := host.NewHere(root)
	const private = 0o700
	if err := here.MkdirAll(ctx, root, private); err != nil {
		return nil, errors.Join(err, here.Close())
	}
	return compute.ConnectHere(ctx, here)
}

// clusterRows are what a cluster was attached with, a name and words each.
func clusterRows(cfg *compute.ClusterConfig) [][2]string {
	if cfg == nil {
		return nil
	}
	return [][2]string{
		{"engine", cfg.Engine},
		{"partition", cfg.Slurm.Partition},
		{"account", cfg.Slurm.Account},
		{"low priority", strings.TrimSpace(cfg.LowPriority.Partition + " " + cfg.LowPriority.QOS)},
		{"at most", plural(cmp.Or(cfg.MaxInFlight, compute.DefaultMaxInFlight), "run") + " with the cluster at once"},
	}
}

// id tells a cluster apart from others.
func (c clusters) id(ctx context.Context, t *compute.Target, on compute.Connection) (string, error) {
	site, err := c.engine(t, on).Site(ctx)
	if err != nil {
		return "", err
	}
	return site.ID(), nil
}

// open opens the door to a cluster, when all that the target names is there.
func (c clusters) open(ctx context.Context, t *compute.Target, on compute.Connection, opening backends.Progress) (*cluster.Backend, error) {
	engine := c.engine(t, on)
	if err := engine.Verify(ctx); err != nil {
		return nil, err
	}
	return cluster.New(ctx, cluster.Options{
		Host: on, Engine: engine, Installation: c.installation, Snapshots: c.snapshots, Programs: c.programs, Images: c.set.BaseImages, MaxLog: int64(c.set.MaxLogSize),
		Credential: c.storage.credential, Here: c.home, Opening: opening,
		Unreachable: func(err error) bool { return errors.Is(err, sshhost.ErrUnreachable) },
	})
}
