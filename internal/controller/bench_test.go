package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/runnerml/runner/runconfig"
)

// BenchmarkRunsThroughTheQueue is what the controller itself costs: runs that
// end at once, on a target in memory, two at a time.
func BenchmarkRunsThroughTheQueue(b *testing.B) {
	target := newFakeTarget(2)
	target.endAtOnce = true
	h := newHouse(b, target)
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		cfg := &runconfig.ScriptRunConfig{
			Experiment: "bench", Command: "true", ComputeTarget: "local",
			Resources: runconfig.Resources{Nodes: 1, CPUs: 1},
		}
		_, _, err := h.c.Submit(b.Context(), Submission{RequestID: fmt.Sprint(i), Config: cfg, Snapshot: string(h.source)})
		if err != nil {
			b.Fatal(err)
		}
	}
	for !h.c.Idle() {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "runs/s")
}
