package supervise_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/runnerml/runner/internal/supervise"
)

// TestPhasesComeInOrder: whoever looks while a process starts and ends sees
// absent, running, ended, in this order and nothing else, and an end is whole.
func TestPhasesComeInOrder(t *testing.T) {
	b := newBench(t)
	root := filepath.Dir(b.dir)
	order := map[supervise.Phase]int{supervise.Absent: 1, supervise.Running: 2, supervise.Ended: 3}
	looks := 0
	for i := range 30 {
		b.dir = filepath.Join(root, strconv.Itoa(i))
		seen := make(chan supervise.Status, 1)
		begin := make(chan struct{})
		go func() {
			var s supervise.Status
			last := 0
			close(begin)
			for s.Phase != supervise.Ended {
				s = supervise.StatusOf(b.dir)
				looks++
				if order[s.Phase] < last || order[s.Phase] == 0 {
					break
				}
				last = order[s.Phase]
			}
			seen <- s
		}()
		<-begin
		l := b.sh("exit 3")
		l.Mark += "-" + strconv.Itoa(i)
		b.start(l)
		if s := <-seen; s.Phase != supervise.Ended || s.ExitCode != 3 || s.Mark != l.Mark || s.StartedAt.IsZero() {
			t.Fatalf("%d: saw %+v", i, s)
		}
		if err := b.Clean(t.Context(), b.dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("looked %d times", looks)
}
