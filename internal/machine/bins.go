package machine

import (
	"context"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// keptBin is how long a version of this program stays that nothing uses: an
// agent of it may be ending only now.
const keptBin = 24 * time.Hour

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
