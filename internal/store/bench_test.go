package store_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// BenchmarkUpdate50 is small writes from 50 goroutines, each waiting for its
// commit. "writes/s" is what counts.
func BenchmarkUpdate50(b *testing.B) {
	s := open(b)
	const writers = 50
	for i := range writers {
		create(b, s, newRun(fmt.Sprintf("iris-%010d", i)))
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				_, err := s.Update(b.Context(), fmt.Sprintf("iris-%010d", i), func(r *run.Run) ([]run.Event, error) {
					return []run.Event{{Time: start, Why: "x"}}, nil
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// BenchmarkUpdateAlone is one writer that waits for each commit.
func BenchmarkUpdateAlone(b *testing.B) {
	s := open(b)
	id := create(b, s, newRun("iris-0000000001")).ID
	for b.Loop() {
		update(b, s, id, func(*run.Run) ([]run.Event, error) { return []run.Event{{Time: start, Why: "x"}}, nil })
	}
}

func BenchmarkReadRun(b *testing.B) {
	s := open(b)
	id := create(b, s, newRun("iris-0000000001")).ID
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Run(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkQueued1000 creates 1,000 runs and reads them back as after a
// restart; "MiB" is what the process then takes.
func BenchmarkQueued1000(b *testing.B) {
	s := open(b)
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for i := range 100 {
				r := newRun(fmt.Sprintf("iris-%02d%08d", w, i))
				if _, _, err := s.CreateRun(b.Context(), r, r.ID, nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var runs []run.Run
	var demands map[string]store.Demand
	for b.Loop() {
		var err error
		if runs, err = s.Active(b.Context()); err != nil || len(runs) != 1000 {
			b.Fatal(len(runs), err)
		}
		if demands, err = s.Demands(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rssMiB(b), "MiB")
	runtime.KeepAlive(runs)
	runtime.KeepAlive(demands)
}

// rssMiB is the memory the process holds now, 0 where the system does not say.
func rssMiB(b *testing.B) float64 {
	b.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
