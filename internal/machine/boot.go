package machine

import (
	"context"
	"errors"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

// bootID of the host now. On another machine it is asked for at each login,
// and no connection outlives a boot.
func (m *Machine) bootID(ctx context.Context) (string, error) {
	p, err := m.host.Platform(ctx)
	return p.BootID, err
}

var errRebooted = errors.New("the machine was started anew after this was prepared")

// checkBoot refuses to start what was prepared before the host was started
// anew: files that were not on its disk yet are gone or cut. What was started
// is not asked about, its supervisor knows.
func (m *Machine) checkBoot(ctx context.Context, r *record, at place) error {
	boot, err := m.bootID(ctx)
	if err != nil || boot == r.BootID {
		return err
	}
	status, err := m.status(ctx, at)
	if err != nil || status.Phase != supervise.Absent {
		return err
	}
	return &backends.Failure{Outcome: run.OutcomeNodeLost, Err: errRebooted}
}
