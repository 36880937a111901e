package testenv

import (
	"context"
	"errors"
	"fmt"
)

// Status describes what is running, one line each.
func Status(ctx context.Context) ([]string, error) {
	dir, err := stateSubdir("docker")
	if err != nil {
		return nil, err
	}
	e := engineIn(dir)
	gateway, up := e.runningNetwork(ctx)
	if !up {
		return []string{"docker: stopped"}, nil
	}
	return []string{fmt.Sprintf("docker: running, pid %d, %s, gateway %s", e.pid(), e.Host, gateway)}, nil
}

// Stop ends everything that this package started on this machine and that is still running. Images and caches stay.
func Stop(ctx context.Context) error {
	ledger, err := stateSubdir("owned")
	if err != nil {
		return err
	}
	return errors.Join(endOrphans(ctx, ledger, true), removeStaleSSH(ctx), stopNetns(ctx), StopDocker(ctx))
}

// Clean is [Stop], and removes all that this package made.
func Clean(ctx context.Context) error {
	dir, err := StateDir()
	if err != nil {
		return err
	}
	if err := Stop(ctx); err != nil {
		return err
	}
	return removeTree(dir)
}
