package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/local"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/metrics"
)

// startEngine opens what a home holds, and starts the controller over it.
func startEngine(ctx context.Context, home server.Home, log *slog.Logger) (_ *engine, err error) {
	var closers []func() error
	closeAll := func() error {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()

	set, err := settings.Load(string(home))
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, filepath.Join(string(home), "runner.db"))
	if err != nil {
		return nil, err
	}
	closers = append(closers, db.Close)
	snapshots, err := snapshot.Open(filepath.Join(string(home), "objects"))
	if err != nil {
		return nil, err
	}
	storage := &storageAccounts{references: set.StorageAccounts}
	here, err := openLocal(ctx, home, set, db, snapshots, storage)
	if err != nil {
		return nil, err
	}
	closers = append(closers, here.Close)
	machines, closeMachines, err := openMachines(ctx, home, set, db, snapshots, storage, log)
	if err != nil {
		return nil, err
	}
	closers = append(closers, closeMachines)

	artifacts, closeArtifacts := openArtifacts(home, set.Artifacts, storage)
	closers = append(closers, closeArtifacts)

	m := metrics.New(func() map[run.State]int { return countStates(db, log) })
	c, err := controller.New(controller.Options{
		Home: string(home), Store: db, Snapshots: snapshots,
		Backends: map[string]backends.Backend{"local": here}, Machines: machines,
		Metrics: m, Logger: log, UnreachableLimit: time.Duration(set.UnreachableLimit),
		Keeping: keeping(set.Prune), Uploader: blobUploader{storage}, Artifacts: artifacts,
	})
	if err != nil {
		return nil, err
	}
	storage.stored = c.StoredSecret
	closers = append(closers, func() error { c.Close(); return nil })
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	return &engine{
		service: c, snapshots: snapshots, metrics: m.Handler(),
		busy:  func(context.Context) (bool, error) { return !c.Idle(), nil },
		close: closeAll,
	}, nil
}

// keeping is what machines keep, by the settings.
func keeping(p settings.Prune) controller.Keeping {
	return controller.Keeping{
		Every: time.Duration(p.Every), OlderThan: time.Duration(p.OlderThan),
		MaxBytes: map[backends.PruneKind]int64{
			backends.PruneSnapshots: int64(p.MaxSnapshots), backends.PruneEnvironments: int64(p.MaxEnvironments),
			backends.PruneImages: int64(p.MaxImages), backends.PruneInputs: int64(p.MaxInputs),
		},
	}
}

// openLocal makes this computer ready as a target.
func openLocal(
	ctx context.Context, home server.Home, set *settings.Settings, db *store.Store, snapshots *snapshot.Store, storage *storageAccounts,
) (*local.Backend, error) {
	installation, err := db.InstallationID(ctx)
	if err != nil {
		return nil, err
	}
	return local.New(ctx, local.Options{
		Home: string(home), Installation: installation, Snapshots: snapshots,
		Engine: container.Options{Socket: strings.TrimPrefix(set.DockerSocket, "unix://")},
		Images: set.BaseImages, MaxLog: int64(set.MaxLogSize), CPUs: set.Local.CPUs, Memory: int64(set.Local.Memory),
		Credential: storage.credential,
	})
}

// countTimeout bounds the counting of runs for one scrape.
const countTimeout = 5 * time.Second

func countStates(db *store.Store, log *slog.Logger) map[run.State]int {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	counts, err := db.Counts(ctx)
	if err != nil {
		log.Error("runs could not be counted for the metrics", "error", fmt.Sprint(err))
	}
	states := map[run.State]int{}
	for _, c := range counts {
		states[c.State] += c.Runs
	}
	return states
}
