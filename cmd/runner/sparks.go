package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/spark"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/internal/snapshot"
)

// sparks opens the Sparks that targets are.
type sparks struct {
	installation string
	snapshots    *snapshot.Store
	programs     *program.Finder
	set          *settings.Settings
}

// id tells a Spark apart from others: by what its master is, as the machine sees
// it.
func (s sparks) id(ctx context.Context, t *compute.Target, on compute.Connection) (string, error) {
	name, ofMachine, err := spark.Identify(ctx, on, t.Config.Spark.Master, t.Config.Spark.HadoopConf)
	if err == nil && ofMachine {
		var machine string
		machine, err = compute.MachineID(ctx, on)
		name += " on " + machine
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte("runner spark " + name))
	return hex.EncodeToString(sum[:16]), nil
}

// open opens the door to a Spark.
func (s sparks) open(ctx context.Context, t *compute.Target, on compute.Connection, opening backends.Progress) (*spark.Backend, error) {
	found, err := spark.Verify(ctx, on, t.Config.Spark.Master, t.Config.Spark.Submit, t.Config.Spark.HadoopConf)
	if err != nil {
		return nil, err
	}
	o := spark.Options{
		Host: on, Installation: s.installation, Snapshots: s.snapshots, Programs: s.programs, MaxLog: int64(s.set.MaxLogSize),
		Master: t.Config.Spark.Master, DeployMode: t.Config.Spark.DeployMode, Submit: found.Submit, HadoopConf: t.Config.Spark.HadoopConf,
		Opening:     opening,
		Unreachable: func(err error) bool { return errors.Is(err, sshhost.ErrUnreachable) },
	}
	if _, here := on.(host.Local); here {
		o.Environ = os.Environ()
	}
	return spark.New(ctx, o)
}
