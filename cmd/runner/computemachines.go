package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"

	"github.com/runnerml/runner/backends"
	sshbackend "github.com/runnerml/runner/backends/ssh"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
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
	executable, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find our own executable: %w", err)
	}
	programs := &program.Finder{Configured: set.Programs, Executable: executable, Home: string(home)}
	here := host.NewHere(string(home))
	sparks := sparks{installation: installation, snapshots: snapshots, programs: programs, set: set}
	clusters := clusters{installation: installation, snapshots: snapshots, programs: programs, set: set, storage: storage, home: string(home)}
	return &compute.Machines{
		Installation: installation, By: whoWhere(), Here: here,
		Connect: func(ctx context.Context, t *compute.Target, secrets compute.Secrets) (compute.Connection, error) {
			if t.Kind.OnCluster() && t.Config.Address == "" {
				return connectHere(ctx, t.HereRoot(string(home)))
			}
			return compute.DialSSH(ctx, t, secrets, aheadOf(t, programs), log)
		},
		ClusterID: func(ctx context.Context, t *compute.Target, c compute.Connection) (string, error) {
			if t.Kind == compute.Spark {
				return sparks.id(ctx, t, c)
			}
			return clusters.id(ctx, t, c)
		},
		Backend: func(ctx context.Context, t *compute.Target, c compute.Connection, opening backends.Progress) (backends.Backend, error) {
			if t.Kind == compute.Cluster {
				return clusters.open(ctx, t, c, opening)
			}
			if t.Kind == compute.Spark {
				return sparks.open(ctx, t, c, opening)
			}
			return sshbackend.New(ctx, sshbackend.Options{
				Host: c, Installation: installation, Snapshots: snapshots, Programs: programs, Images: set.BaseImages, MaxLog: int64(set.MaxLogSize),
				Credential: storage.credential, Here: string(home), Opening: opening,
			})
		},
	}, here.Close, nil
}

// aheadOf is the process that a login to a target's machine may start, by what
// the machine was when it was attached; nil: there is no program for it.
func aheadOf(t *compute.Target, programs *program.Finder) []string {
	find := programs.Running
	if t.Facts != nil {
		find = func() (*program.Program, error) { return programs.Find(t.Facts.System.OS + "/" + t.Facts.System.Arch) }
	}
	p, err := find()
	if err != nil {
		return nil // it is said when the program is needed
	}
	return onhost.ServeAhead(p.Digest)
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
