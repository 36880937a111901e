package machine

import (
	"context"
	"errors"
	"path"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/supervise"
)

// keptBin is how long a version of this program stays that nothing uses: an
// agent of it may be ending only now.
const keptBin = 24 * time.Hour

// install makes sure that our program is on the host, and says where. On
// another machine the one that is there is asked itself, through the process
// that serves us from then on, which a login may have started already.
func install(ctx context.Context, c Config) (bin string, served *onhost.Host, err error) {
	if _, local := c.Host.(host.Local); local {
		bin, err = supervise.Install(ctx, c.Host, c.Programs, c.sending)
		return bin, nil, err
	}
	p, err := supervise.Fitting(ctx, c.Host, c.Programs)
	if err != nil {
		return "", nil, err
	}
	bin = path.Join(c.Host.Root(), supervise.BinName(p.Digest))
	served = onhost.NewHost(c.Host, bin)
	got, err := served.Program(ctx)
	if err == nil && got.Digest == p.Digest {
		if err := p.Check(got); err != nil {
			return "", nil, errors.Join(err, served.Close())
		}
		return bin, served, nil
	}
	if closeErr := served.Close(); closeErr != nil || ctx.Err() != nil || c.unreachable(err) {
		return "", nil, errors.Join(err, closeErr)
	}
	// It is not there, or not what it should be.
	if bin, err = supervise.Install(ctx, c.Host, c.Programs, c.sending); err != nil {
		return "", nil, err
	}
	return bin, onhost.NewHost(c.Host, bin), nil
}

// sending tells how far our program is on its way to the host.
func (c Config) sending(there, all int64) {
	c.Opening.Report(backends.Step{Name: "program", Detail: "sending runner to the machine", Done: there, Total: all, Unit: "B"})
}

// pruneBins removes the programs of earlier versions from this computer that
// no supervisor runs from. While there are attempts they stay, because a
// container may have been made with one and not be started yet. That it cannot
// be done now is no harm: the next agent comes.
func (m *Machine) pruneBins(ctx context.Context) {
	if refs, err := m.Marks(ctx); err != nil || len(refs) > 0 {
		return
	}
	_ = supervise.PruneBinsBefore(ctx, m.host, time.Now().Add(-keptBin), m.bin)
}
