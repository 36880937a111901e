package queue_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/queue"
)

// scene is a target, who holds what of it, and who waits.
type scene struct {
	size    queue.Size
	holding []queue.Held
	waiting []queue.Want
}

func genSize(t *rapid.T) queue.Size {
	size := queue.Size{Target: "t", CPUs: float64(rapid.IntRange(1, 8).Draw(t, "cpus")), Memory: rapid.Int64Range(1, 8).Draw(t, "mem")}
	for i := range rapid.IntRange(0, 4).Draw(t, "gpus") {
		size.GPUs = append(size.GPUs, "g"+strconv.Itoa(i))
	}
	return size
}

func genWant(t *rapid.T, id string, priorities int) queue.Want {
	return queue.Want{
		Run: id, CPUs: float64(rapid.IntRange(0, 18).Draw(t, "cpus")) / 2, Memory: rapid.Int64Range(0, 9).Draw(t, "mem"),
		GPUs: rapid.IntRange(0, 3).Draw(t, "gpus"), Priority: rapid.IntRange(0, priorities).Draw(t, "priority"),
		LowPriority: rapid.Bool().Draw(t, "low"), Since: at(rapid.IntRange(0, 5).Draw(t, "since")),
	}
}

// genScene fills a target by planning, so that it is one that can arise.
func genScene(t *rapid.T) scene {
	s := scene{size: genSize(t)}
	for i := range rapid.IntRange(0, 8).Draw(t, "first") {
		s.waiting = append(s.waiting, genWant(t, "h"+strconv.Itoa(i), 2))
	}
	s.apply(queue.Make(s.size, s.holding, s.waiting), 0)
	s.waiting = nil
	for i := range s.holding {
		s.holding[i].Stopping = rapid.IntRange(0, 3).Draw(t, "stopping") == 0
		s.holding[i].Since = at(rapid.IntRange(0, 5).Draw(t, "granted"))
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "second") {
		s.waiting = append(s.waiting, genWant(t, "w"+strconv.Itoa(i), 2))
	}
	return s
}

// apply carries out a plan: grants hold, the preempted are told to stop.
func (s *scene) apply(p queue.Plan, now int) {
	for _, g := range p.Grants {
		i := slices.IndexFunc(s.waiting, func(w queue.Want) bool { return w.Run == g.Run })
		w := s.waiting[i]
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.holding = append(s.holding, queue.Held{
			Run: g.Run, Attempt: 1, Allocation: g.Allocation, Priority: w.Priority, LowPriority: w.LowPriority, Since: at(now),
		})
	}
	for i := range s.holding {
		if slices.Contains(p.Preempt, s.holding[i].Run) {
			s.holding[i].Stopping = true
		}
	}
}

// left is what nobody holds; GPUs as a count.
func (s *scene) left() (cpus float64, mem int64, gpus int) {
	cpus, mem, gpus = s.size.CPUs, s.size.Memory, len(s.size.GPUs)
	for _, h := range s.holding {
		cpus, mem, gpus = cpus-h.Allocation.CPUs, mem-h.Allocation.Memory, gpus-len(h.Allocation.GPUs)
	}
	return cpus, mem, gpus
}

func (s *scene) want(id string) queue.Want {
	return s.waiting[slices.IndexFunc(s.waiting, func(w queue.Want) bool { return w.Run == id })]
}

func (s *scene) clone() scene {
	return scene{s.size, slices.Clone(s.holding), slices.Clone(s.waiting)}
}

func TestNeverMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genScene(t)
		p := queue.Make(s.size, s.holding, s.waiting)
		for _, g := range p.Grants {
			w := s.want(g.Run)
			if g.Allocation.CPUs != w.CPUs || g.Allocation.Memory != w.Memory || len(g.Allocation.GPUs) != w.GPUs {
				t.Fatalf("%s asked for %+v and got %+v", g.Run, w, g.Allocation)
			}
		}
		s.apply(p, 0)
		if cpus, mem, gpus := s.left(); cpus < 0 || mem < 0 || gpus < 0 {
			t.Fatalf("over-committed: %v CPUs, %d bytes, %d GPUs left", cpus, mem, gpus)
		}
		seen := map[string]string{}
		for _, h := range s.holding {
			for _, id := range h.Allocation.GPUs {
				if !slices.Contains(s.size.GPUs, id) || seen[id] != "" {
					t.Fatalf("GPU %s of %s: unknown or held by %q", id, h.Run, seen[id])
				}
				seen[id] = h.Run
			}
		}
	})
}

func TestEveryWaitingRunHasOneAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genScene(t)
		p := queue.Make(s.size, s.holding, s.waiting)
		answers := map[string]int{}
		for _, g := range p.Grants {
			answers[g.Run]++
		}
		for _, i := range p.Impossible {
			answers[i.Run]++
		}
		for id, why := range p.Reasons {
			if why == "" {
				t.Fatalf("no words for %s", id)
			}
			answers[id]++
		}
		for _, w := range s.waiting {
			if answers[w.Run] != 1 {
				t.Fatalf("%s has %d answers in %+v", w.Run, answers[w.Run], p)
			}
		}
		if len(answers) != len(s.waiting) {
			t.Fatalf("answers for runs that do not wait: %+v", p)
		}
	})
}

// TestHigherPriorityFirst: when a run got something, no run of higher priority
// that would have fitted into what was free was left waiting, unless for one that
// is ahead of both.
func TestHigherPriorityFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genScene(t)
		p := queue.Make(s.size, s.holding, s.waiting)
		before := s.clone()
		for _, g := range p.Grants {
			got := before.want(g.Run)
			cpus, mem, gpus := before.left()
			for id := range p.Reasons {
				w := s.want(id)
				if w.Priority > got.Priority && w.CPUs <= cpus && w.Memory <= mem && w.GPUs <= gpus {
					// It may itself be kept back for one further ahead.
					if !keptBack(p, before, w) {
						t.Fatalf("%+v was granted while %+v fits", got, w)
					}
				}
			}
			before.apply(queue.Plan{Grants: []queue.Grant{g}}, 0)
		}
	})
}

// keptBack reports whether a run of the same or higher priority that does not
// fit into what is left in s waits ahead of w.
func keptBack(p queue.Plan, s scene, w queue.Want) bool {
	cpus, mem, gpus := s.left()
	for id := range p.Reasons {
		a := s.want(id)
		if id != w.Run && a.Priority >= w.Priority && (a.CPUs > cpus || a.Memory > mem || a.GPUs > gpus) {
			return true
		}
	}
	return false
}

func TestPlanningAgainGivesNothingMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genScene(t)
		p := queue.Make(s.size, s.holding, s.waiting)
		s.apply(p, 9)
		again := queue.Make(s.size, s.holding, s.waiting)
		if len(again.Grants) > 0 || len(again.Preempt) > 0 {
			t.Fatalf("first %+v\nthen %+v", p, again)
		}
	})
}

func TestSameStateSamePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genScene(t)
		first := queue.Make(s.size, s.holding, s.waiting)
		shuffled := s.clone()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(shuffled.waiting), func(i, j int) {
			shuffled.waiting[i], shuffled.waiting[j] = shuffled.waiting[j], shuffled.waiting[i]
		})
		r.Shuffle(len(shuffled.holding), func(i, j int) {
			shuffled.holding[i], shuffled.holding[j] = shuffled.holding[j], shuffled.holding[i]
		})
		if d := gocmp.Diff(first, queue.Make(shuffled.size, shuffled.holding, shuffled.waiting)); d != "" {
			t.Fatal("the order in which runs are given matters:", d)
		}
	})
}

// TestPreemptionIsNeverForNothing: when those preempted are gone, a dedicated
// run is granted that was not before; it is a lowpriority holder that goes,
// and with one fewer of them not all those runs would be granted.
func TestPreemptionIsNeverForNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genScene(t)
		p := queue.Make(s.size, s.holding, s.waiting)
		if len(p.Preempt) == 0 {
			return
		}
		for _, id := range p.Preempt {
			h := s.holding[slices.IndexFunc(s.holding, func(h queue.Held) bool { return h.Run == id })]
			if !h.LowPriority || h.Stopping {
				t.Fatalf("preempted %+v", h)
			}
		}
		s.apply(p, 9)
		granted := func(spared string) int {
			after := s.clone()
			after.holding = slices.DeleteFunc(after.holding, func(h queue.Held) bool { return h.Stopping && h.Run != spared })
			n := 0
			for _, g := range queue.Make(after.size, after.holding, after.waiting).Grants {
				if !after.want(g.Run).LowPriority {
					n++
				}
			}
			return n
		}
		all := granted("")
		if all == 0 {
			t.Fatalf("preempted %v and no dedicated run fits", p.Preempt)
		}
		for _, id := range p.Preempt {
			if granted(id) >= all {
				t.Fatalf("%s was preempted for nothing", id)
			}
		}
	})
}

// TestNobodyStarves lets time pass: every run ends after some time, new small
// ones keep coming, and still the big one at the head is carried out before
// those that came with it and what was running have ended twice over.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scene{size: genSize(t)}
		ends := map[string]int{}
		const longest = 5
		small, big := 0, genWant(t, "big", 0)
		big.LowPriority = false
		big.CPUs, big.Memory, big.GPUs = min(big.CPUs, s.size.CPUs), min(big.Memory, s.size.Memory), min(big.GPUs, len(s.size.GPUs))
		arrives := rapid.IntRange(0, 6).Draw(t, "arrives")
		for now := 0; now <= arrives+2*longest; now++ {
			for range rapid.IntRange(0, 4).Draw(t, "new") {
				w := genWant(t, fmt.Sprint("s", small), 0)
				w.Since = at(now)
				w.LowPriority = false
				s.waiting = append(s.waiting, w)
				small++
			}
			if now == arrives {
				// Those that came before it are let go: how long they take is theirs.
				big.Since = at(now)
				s.waiting = []queue.Want{big}
			}
			s.holding = slices.DeleteFunc(s.holding, func(h queue.Held) bool { return ends[h.Run] <= now })
			p := queue.Make(s.size, s.holding, s.waiting)
			for _, g := range p.Grants {
				ends[g.Run] = now + rapid.IntRange(1, longest).Draw(t, "takes")
				if g.Run == "big" {
					return
				}
			}
			s.apply(p, now)
		}
		t.Fatalf("%+v still waits", big)
	})
}

// TestAllAreServed runs a whole queue down: preempted runs come back, and in
// the end everything possible has run.
func TestAllAreServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scene{size: genSize(t)}
		wants := map[string]queue.Want{}
		for i := range rapid.IntRange(1, 15).Draw(t, "runs") {
			w := genWant(t, "w"+strconv.Itoa(i), 2)
			wants[w.Run] = w
			s.waiting = append(s.waiting, w)
		}
		impossible := len(queue.Make(s.size, nil, s.waiting).Impossible)
		done, ends := 0, map[string]int{}
		for now := range 200 {
			p := queue.Make(s.size, s.holding, s.waiting)
			s.apply(p, now)
			for _, g := range p.Grants {
				ends[g.Run] = now + rapid.IntRange(1, 3).Draw(t, "takes")
			}
			slices.SortFunc(s.holding, func(a, b queue.Held) int { return cmp.Compare(a.Run, b.Run) })
			s.holding = slices.DeleteFunc(s.holding, func(h queue.Held) bool {
				if h.Stopping {
					s.waiting = append(s.waiting, wants[h.Run])
					return true
				}
				if ends[h.Run] > now {
					return false
				}
				done++
				return true
			})
			if done == len(wants)-impossible {
				return
			}
		}
		t.Fatalf("%d of %d runs done, holding %+v, waiting %+v", done, len(wants)-impossible, s.holding, s.waiting)
	})
}
