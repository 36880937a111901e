package spark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/sparksubmit"
)

// Release ends what is left of the application and removes what it left on the
// cluster's file system, then all that is on the machine.
func (b *Backend) Release(ctx context.Context, ref backends.Ref) error {
	p, err := b.plan(ctx, ref)
	if err == nil && p != nil && p.OnYARN() {
		err = b.tell(ctx, ref, sparksubmit.EndCommand)
	}
	if err != nil {
		return fmt.Errorf("release %s.%d: %w", ref.Run, ref.Number, err)
	}
	return b.carrier.Release(ctx, ref)
}

// plan of an attempt; nil: none was made.
func (b *Backend) plan(ctx context.Context, ref backends.Ref) (*sparksubmit.Plan, error) {
	data, err := b.machine.LauncherFile(ctx, ref, sparksubmit.PlanFile)
	if err != nil || data == nil {
		return nil, err
	}
	p := &sparksubmit.Plan{}
	return p, json.Unmarshal(data, p)
}

// tell runs a command of an attempt's launcher on the machine.
func (b *Backend) tell(ctx context.Context, ref backends.Ref, command func(bin, plan string) []string) error {
	err := b.machine.RunLauncher(ctx, ref, func(bin, dir string) []string {
		return command(bin, path.Join(dir, sparksubmit.PlanFile))
	})
	if exit, ok := errors.AsType[*host.ExitError](err); ok {
		return fmt.Errorf("the cluster cannot be asked: %w", exit)
	}
	return err
}

// Collect brings home what is on the machine, after what the driver left in the
// cluster is there, too: until then the cluster keeps it.
func (b *Backend) Collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	if err := b.fetch(ctx, ref); err != nil {
		return fmt.Errorf("collect %s.%d: %w", ref.Run, ref.Number, err)
	}
	return b.carrier.Collect(ctx, ref, sink)
}

func (b *Backend) fetch(ctx context.Context, ref backends.Ref) error {
	p, err := b.plan(ctx, ref)
	if err != nil || p == nil || !p.InCluster() {
		return err
	}
	r, err := b.report(ctx, ref)
	if err != nil || r != nil && r.Home {
		return err
	}
	seen, err := b.carrier.Observe(ctx, []backends.Ref{ref})
	if err != nil || seen[0].Phase != backends.Ended {
		return err // of what runs there is nothing to collect, which the machine says
	}
	return b.tell(ctx, ref, sparksubmit.FetchCommand)
}
