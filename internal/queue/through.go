package queue

import (
	"fmt"

	"github.com/runnerml/runner/internal/run"
)

// Through plans for a target whose engine queues by itself: all go on to it in
// the order of the queue, as long as not more than limit (zero: no limit) are
// with it. held is how many are.
func Through(held, limit int, waiting []Want) Plan {
	sorted := make([]Want, 0, len(waiting))
	for _, i := range order(waiting) {
		sorted = append(sorted, waiting[i])
	}
	p := Plan{Reasons: map[string]string{}}
	for i, w := range sorted {
		if limit > 0 && held+len(p.Grants) >= limit {
			for ahead, later := range sorted[i:] {
				p.Reasons[later.Run] = fmt.Sprintf("%d runs are with the cluster, the most that it is given at once; %d go first here", held+len(p.Grants), ahead)
			}
			break
		}
		p.Grants = append(p.Grants, Grant{Run: w.Run, Allocation: run.Allocation{CPUs: w.CPUs, Memory: w.Memory}})
	}
	return p
}
