package queue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/queue"
)

func TestThrough(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	waiting := []queue.Want{
		{Run: "late", Since: at(3)},
		{Run: "first", Since: at(1)},
		{Run: "urgent", Since: at(9), Priority: 1},
	}
	for _, c := range []struct {
		name        string
		held, limit int
		granted     []string
		reasons     map[string]string
	}{
		{"no limit", 5, 0, []string{"urgent", "first", "late"}, map[string]string{}},
		{"room for all", 2, 5, []string{"urgent", "first", "late"}, map[string]string{}},
		{"room for one", 2, 3, []string{"urgent"}, map[string]string{
			"first": "3 runs are with the cluster, the most that it is given at once; 0 go first here",
			"late":  "3 runs are with the cluster, the most that it is given at once; 1 go first here",
		}},
		{"more than the limit, which was lowered", 9, 3, nil, map[string]string{
			"urgent": "9 runs are with the cluster, the most that it is given at once; 0 go first here",
			"first":  "9 runs are with the cluster, the most that it is given at once; 1 go first here",
			"late":   "9 runs are with the cluster, the most that it is given at once; 2 go first here",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := queue.Through(c.held, c.limit, waiting)
			var granted []string
			for _, g := range p.Grants {
				granted = append(granted, g.Run)
			}
			if d := cmp.Diff(c.granted, granted); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.reasons, p.Reasons); d != "" {
				t.Error(d)
			}
		})
	}
}
