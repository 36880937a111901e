package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/runnerml/runner/internal/queue"
	"github.com/runnerml/runner/internal/run"
)

const gib = 1 << 30

// at is a moment on the clock of these tests, in minutes.
func at(minute int) time.Time {
	return time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC)
}

func alloc(cpus float64, mem int64, gpus ...string) run.Allocation {
	return run.Allocation{CPUs: cpus, Memory: mem, GPUs: gpus}
}

func TestMake(t *testing.T) {
	box := queue.Size{Target: "local", CPUs: 4, Memory: 8 * gib, GPUs: []string{"0", "1"}}
	tests := []struct {
		name    string
		size    queue.Size
		holding []queue.Held
		waiting []queue.Want
		want    queue.Plan
	}{
		{name: "nothing waits", size: box},
		{
			name: "all that fit go, GPUs by id, first come first",
			size: box,
			waiting: []queue.Want{
				{Run: "b", CPUs: 1, GPUs: 1, Since: at(2)},
				{Run: "a", CPUs: 1.5, Memory: gib, GPUs: 1, Since: at(1)},
			},
			want: queue.Plan{Grants: []queue.Grant{{"a", alloc(1.5, gib, "0")}, {"b", alloc(1, 0, "1")}}},
		},
		{
			name: "higher priority goes first, however late",
			size: box,
			waiting: []queue.Want{
				{Run: "early", CPUs: 3, Since: at(1)},
				{Run: "late", CPUs: 3, Priority: 5, Since: at(9)},
			},
			want: queue.Plan{
				Grants:  []queue.Grant{{"late", alloc(3, 0)}},
				Reasons: map[string]string{"early": "waits for 3 CPUs (1 free), held by late"},
			},
		},
		{
			name:    "a held GPU is not given again; the holder is named",
			size:    box,
			holding: []queue.Held{{Run: "iris-01jd8k3v9q", Allocation: alloc(1, 0, "1", "0")}},
			waiting: []queue.Want{{Run: "w", CPUs: 1, GPUs: 1, Since: at(1)}},
			want: queue.Plan{
				Reasons: map[string]string{"w": "waits for 1 GPU, held by iris-01jd8k3v9q"},
			},
		},
		{
			name:    "many holders are counted, several resources told",
			size:    box,
			holding: []queue.Held{{Run: "x", Allocation: alloc(1, 5*gib, "0")}, {Run: "y", Allocation: alloc(1, gib)}, {Run: "z", Allocation: alloc(1, gib)}},
			waiting: []queue.Want{{Run: "w", CPUs: 4, Memory: 2 * gib, GPUs: 2}},
			want: queue.Plan{
				Reasons: map[string]string{"w": "waits for 2 GPUs (1 free) and 2.0 GiB of memory (1.0 GiB free) and 4 CPUs (1 free), held by x"},
			},
		},
		{
			name:    "holders beyond two are a number",
			size:    box,
			holding: []queue.Held{{Run: "x", Allocation: alloc(2, 0)}, {Run: "y", Allocation: alloc(1, 0)}, {Run: "z", Allocation: alloc(1, 0)}},
			waiting: []queue.Want{{Run: "w", CPUs: 1}},
			want:    queue.Plan{Reasons: map[string]string{"w": "waits for 1 CPU, held by x, y and 1 more"}},
		},
		{
			name:    "a run on CPUs passes one that waits for GPUs, while CPUs for both are free",
			size:    box,
			holding: []queue.Held{{Run: "x", Allocation: alloc(0, 0, "0", "1")}},
			waiting: []queue.Want{
				{Run: "head", CPUs: 2, GPUs: 1, Since: at(1)},
				{Run: "small", CPUs: 2, Since: at(2)},
				{Run: "next", CPUs: 1, Since: at(3)},
			},
			want: queue.Plan{
				Grants: []queue.Grant{{"small", alloc(2, 0)}},
				Reasons: map[string]string{
					"head": "waits for 1 GPU, held by x",
					"next": "waits its turn: what is free is kept for head, behind 1 run of the same priority",
				},
			},
		},
		{
			name:    "no GPU passes a run that collects two",
			size:    box,
			holding: []queue.Held{{Run: "x", Allocation: alloc(1, 0, "0")}},
			waiting: []queue.Want{
				{Run: "two", CPUs: 1, GPUs: 2, Since: at(1)},
				{Run: "one", CPUs: 1, GPUs: 1, Since: at(2)},
				{Run: "cpu", CPUs: 1, Priority: -1, Since: at(0)},
			},
			want: queue.Plan{
				Grants: []queue.Grant{{"cpu", alloc(1, 0)}},
				Reasons: map[string]string{
					"two": "waits for 2 GPUs (1 free), held by x",
					"one": "waits its turn: what is free is kept for two, behind 1 run of the same priority",
				},
			},
		},
		{
			name: "more than there is at all is impossible and keeps nobody",
			size: box,
			waiting: []queue.Want{
				{Run: "gpus", CPUs: 1, GPUs: 8, Priority: 9},
				{Run: "cpus", CPUs: 4.5, Priority: 8},
				{Run: "mem", CPUs: 1, Memory: 9 * gib, Priority: 7},
				{Run: "ok", CPUs: 4, Memory: 8 * gib, GPUs: 2},
			},
			want: queue.Plan{
				Grants: []queue.Grant{{"ok", alloc(4, 8*gib, "0", "1")}},
				Impossible: []queue.Impossible{
					{"gpus", "asks for 8 GPUs, local has 2"},
					{"cpus", "asks for 4.5 CPUs, local has 4"},
					{"mem", "asks for 9.0 GiB of memory, local has 8.0 GiB"},
				},
			},
		},
		{
			name:    "what is not known is not counted",
			size:    queue.Size{GPUs: []string{"a"}},
			waiting: []queue.Want{{Run: "w", CPUs: 500, Memory: 1 << 60, GPUs: 1}, {Run: "x", CPUs: 500, Memory: 1 << 60}},
			want:    queue.Plan{Grants: []queue.Grant{{"w", alloc(500, 1<<60, "a")}, {"x", alloc(500, 1<<60)}}},
		},
		{
			name: "fractions of CPUs add up exactly",
			size: queue.Size{CPUs: 0.3},
			waiting: []queue.Want{
				{Run: "a", CPUs: 0.1, Since: at(1)},
				{Run: "b", CPUs: 0.1, Since: at(2)},
				{Run: "c", CPUs: 0.1, Since: at(3)},
				{Run: "d", CPUs: 0.1, Since: at(4)},
			},
			want: queue.Plan{
				Grants:  []queue.Grant{{"a", alloc(0.1, 0)}, {"b", alloc(0.1, 0)}, {"c", alloc(0.1, 0)}},
				Reasons: map[string]string{"d": "waits for 0.1 CPUs, held by a, b and 1 more"},
			},
		},
		{
			name: "dedicated preempts the newest lowpriority run that makes room alone",
			size: box,
			holding: []queue.Held{
				{Run: "old", Allocation: alloc(1, 0, "0"), LowPriority: true, Since: at(1)},
				{Run: "new", Allocation: alloc(1, 0, "1"), LowPriority: true, Since: at(2)},
				{Run: "newest", Allocation: alloc(1, 0), LowPriority: true, Since: at(3)},
			},
			waiting: []queue.Want{{Run: "w", CPUs: 1, GPUs: 1}},
			want: queue.Plan{
				Preempt: []string{"new"},
				Reasons: map[string]string{"w": "waits for 1 GPU until preempted runs have stopped"},
			},
		},
		{
			name: "one big victim rather than two small ones",
			size: box,
			holding: []queue.Held{
				{Run: "big", Allocation: alloc(2, 0), LowPriority: true, Since: at(1)},
				{Run: "s1", Allocation: alloc(1, 0), LowPriority: true, Since: at(2)},
				{Run: "s2", Allocation: alloc(1, 0), LowPriority: true, Since: at(3)},
			},
			waiting: []queue.Want{{Run: "w", CPUs: 2}},
			want: queue.Plan{
				Preempt: []string{"big"},
				Reasons: map[string]string{"w": "waits for 2 CPUs until preempted runs have stopped"},
			},
		},
		{
			name: "no more is preempted while the one told to stop is stopping",
			size: box,
			holding: []queue.Held{
				{Run: "going", Allocation: alloc(1, 0, "0"), LowPriority: true, Stopping: true, Since: at(1)},
				{Run: "other", Allocation: alloc(1, 0, "1"), LowPriority: true, Since: at(2)},
			},
			waiting: []queue.Want{{Run: "w", CPUs: 1, GPUs: 1}},
			want: queue.Plan{
				Reasons: map[string]string{"w": "waits for 1 GPU until preempted runs have stopped"},
			},
		},
		{
			name: "nothing is preempted when that does not make room",
			size: box,
			holding: []queue.Held{
				{Run: "dedicated", Allocation: alloc(1, 0, "0"), Since: at(1)},
				{Run: "low", Allocation: alloc(1, 0, "1"), LowPriority: true, Since: at(2)},
			},
			waiting: []queue.Want{{Run: "w", CPUs: 1, GPUs: 2}},
			want:    queue.Plan{Reasons: map[string]string{"w": "waits for 2 GPUs, held by dedicated, low"}},
		},
		{
			name:    "a lowpriority run of higher priority is left alone",
			size:    box,
			holding: []queue.Held{{Run: "low", Priority: 1, Allocation: alloc(4, 0), LowPriority: true}},
			waiting: []queue.Want{{Run: "w", CPUs: 1}},
			want:    queue.Plan{Reasons: map[string]string{"w": "waits for 1 CPU, held by low"}},
		},
		{
			name:    "lowpriority preempts nobody",
			size:    box,
			holding: []queue.Held{{Run: "low", Allocation: alloc(4, 0), LowPriority: true}},
			waiting: []queue.Want{{Run: "w", CPUs: 1, Priority: 9, LowPriority: true}},
			want:    queue.Plan{Reasons: map[string]string{"w": "waits for 1 CPU, held by low"}},
		},
		{
			name: "within a priority dedicated goes before lowpriority",
			size: box,
			waiting: []queue.Want{
				{Run: "low", CPUs: 4, LowPriority: true, Since: at(1)},
				{Run: "ded", CPUs: 4, Since: at(2)},
			},
			want: queue.Plan{
				Grants:  []queue.Grant{{"ded", alloc(4, 0)}},
				Reasons: map[string]string{"low": "waits for 4 CPUs, held by ded"},
			},
		},
		{
			name: "reasons count who is ahead",
			size: queue.Size{CPUs: 4},
			holding: []queue.Held{
				{Run: "x", Allocation: alloc(2, 0)},
			},
			waiting: []queue.Want{
				{Run: "p1", CPUs: 3, Priority: 2, Since: at(1)},
				{Run: "p2", CPUs: 3, Priority: 1, Since: at(2)},
				{Run: "p3", CPUs: 3, Priority: 1, Since: at(3)},
				{Run: "p4", CPUs: 4, Since: at(4)},
				{Run: "p5", CPUs: 1, Since: at(5)},
			},
			want: queue.Plan{Reasons: map[string]string{
				"p1": "waits for 3 CPUs (2 free), held by x",
				"p2": "waits for 3 CPUs (2 free), held by x, behind 1 run of higher priority",
				"p3": "waits for 3 CPUs (2 free), held by x, behind 1 run of higher priority and 1 run of the same",
				"p4": "waits for 4 CPUs (2 free), held by x, behind 3 runs of higher priority",
				"p5": "waits its turn: what is free is kept for p1, behind 3 runs of higher priority and 1 run of the same",
			}},
		},
		{
			name:    "a run that holds is not granted again",
			size:    box,
			holding: []queue.Held{{Run: "w", Allocation: alloc(1, 0)}},
			waiting: []queue.Want{{Run: "w", CPUs: 1}},
		},
		{
			name:    "a target that shrank gives nothing until there is room",
			size:    queue.Size{CPUs: 2, GPUs: []string{"0"}},
			holding: []queue.Held{{Run: "x", Allocation: alloc(4, 0, "0", "1"), LowPriority: true, Since: at(1)}},
			waiting: []queue.Want{{Run: "w", CPUs: 1, LowPriority: true}, {Run: "free", GPUs: 0}},
			want: queue.Plan{
				Grants:  []queue.Grant{{"free", alloc(0, 0)}},
				Reasons: map[string]string{"w": "waits for 1 CPU, held by x"},
			},
		},
		{
			name:    "a GPU listed twice is one",
			size:    queue.Size{GPUs: []string{"0", "0"}},
			waiting: []queue.Want{{Run: "a", GPUs: 1, Since: at(1)}, {Run: "b", GPUs: 1, Since: at(2)}},
			want: queue.Plan{
				Grants:  []queue.Grant{{"a", alloc(0, 0, "0")}},
				Reasons: map[string]string{"b": "waits for 1 GPU, held by a"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := queue.Make(tt.size, tt.holding, tt.waiting)
			if d := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

func BenchmarkMake1000(b *testing.B) {
	size := queue.Size{Target: "local", CPUs: 64, Memory: 256 * gib, GPUs: []string{"0", "1", "2", "3", "4", "5", "6", "7"}}
	var holding []queue.Held
	for i := range 64 {
		holding = append(holding, queue.Held{Run: fmt.Sprint("held", i), Allocation: alloc(1, 2*gib), LowPriority: i%2 == 0, Since: at(i)})
	}
	var waiting []queue.Want
	for i := range 1000 {
		waiting = append(waiting, queue.Want{
			Run: fmt.Sprintf("iris-%010d", i), CPUs: 1, Memory: gib, GPUs: i % 3, Priority: i % 5,
			LowPriority: i%7 == 0, Since: at(i * 7919 % 1000),
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		queue.Make(size, holding, waiting)
	}
}
