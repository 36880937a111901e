package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/artifact/blobstore"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/settings"
)

// blobPatience is how long a store may be down before a run says so. It is
// waited for after that, too.
const blobPatience = 20 * time.Second

// openArtifacts makes the stores of the settings ready. None is asked for
// anything: one that cannot be used says so to whoever uses it.
func openArtifacts(home server.Home, set settings.Artifacts, storage *storageAccounts) (_ controller.Artifacts, closeAll func() error) {
	a := controller.Artifacts{Default: set.Default, Experiments: set.Experiments, Stores: map[string]artifact.Store{}}
	var stores []*blobstore.Store
	for name, address := range set.Stores {
		open := func(ctx context.Context) (*blob.Container, error) {
			where, err := blob.ParseLocation(address)
			if err != nil {
				return nil, err
			}
			right, err := storage.credential(ctx, where.Account)
			if err != nil {
				return nil, err
			}
			return blob.Open(where, right, blob.Options{Patience: blobPatience})
		}
		store := blobstore.New(name, open, filepath.Join(string(home), "spool", name))
		stores = append(stores, store)
		a.Stores[name] = store
	}
	return a, func() (err error) {
		for _, s := range stores {
			err = errors.Join(err, s.Close())
		}
		return err
	}
}
