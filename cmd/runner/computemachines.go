package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"

	"github.com/runnerml/runner/backends"
	sshbackend "github.com/runnerml/runner/backends/ssh"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/internal/supervise"
)

// openMachines makes the machines that targets are reachable. close comes
// after the controller's.
func openMachines(
	ctx context.Context, home server.Home, set *settings.Settings, db *store.Store, snapshots *snapshot.Store,
	storage *storageAccounts, log *slog.Logger,
) (_ *compute.Machines, closer func() error, err error) {
	installation, err := db.InstallationID(ctx)
	if err != nil {
		return nil, nil, err
	}
	digest, err := supervise.OwnDigest(filepath.Join(string(home), supervise.BinDir))
	if err != nil {
		return nil, nil, err
	}
	ahead := onhost.ServeAhead(digest)
	here := host.NewHere(string(home))
	sparks := sparks{installation: installation, snapshots: snapshots, set: set}
	clusters := clusters{installation: installation, snapshots: snapshots, set: set, storage: storage, home: string(home)}
	return &compute.Machines{
		Installation: installation, By: whoWhere(), Here: here,
		Connect: func(ctx context.Context, t *compute.Target, secrets compute.Secrets) (compute.Connection, error) {
			if t.Kind.OnCluster() && t.Config.Address == "" {
				return connectHere(ctx, t.HereRoot(string(home)))
			}
			return compute.DialSSH(ctx, t, secrets, ahead, log)
		},
		ClusterID: func(ctx context.Context, t *compute.Target, c compute.Connection) (string, error) {
			if t.Kind == compute.Spark {
				return sparks.id(ctx, t, c)
			}
			return clusters.id(ctx, t, c)
		},
		Backend: func(ctx context.Context, t *compute.Target, c compute.Connection) (backends.Backend, error) {
			switch t.Kind {
			case compute.Cluster:
				return clusters.open(ctx, t, c)
			case compute.Spark:
				return sparks.open(ctx, t, c)
			}
			return sshbackend.New(ctx, sshbackend.Options{
				Host: c, Installation: installation, Snapshots: snapshots, Images: set.BaseImages, MaxLog: int64(set.MaxLogSize),
				Credential: storage.credential, Here: string(home),
			})
		},
	}, here.Close, nil
}

// whoWhere is who we are, for those who find our claim on a machine.
func whoWhere() string {
	name, nameErr := os.Hostname()
	me, err := user.Current()
	if errors.Join(err, nameErr) != nil {
		return name
	}
	return me.Username + "@" + name
}
