package queue

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func victims(shares ...share) []victim {
	all := make([]victim, len(shares))
	for i, s := range shares {
		all[i] = victim{&Held{Run: fmt.Sprint("v", i)}, s}
	}
	return all
}

func names(vs []victim) []string {
	all := []string{}
	for _, v := range vs {
		all = append(all, v.held.Run)
	}
	return all
}

func TestFewest(t *testing.T) {
	tests := []struct {
		name      string
		may       []victim // newest first
		free, ask share
		want      []string
	}{
		{"the newest that does", victims(share{cpu: 1}, share{cpu: 2}, share{cpu: 2}), share{}, share{cpu: 2}, []string{"v1"}},
		{"what is free counts", victims(share{cpu: 1}, share{cpu: 2}), share{cpu: 1}, share{cpu: 2}, []string{"v0"}},
		{"two, when no one does", victims(share{cpu: 1}, share{gpu: 1}, share{cpu: 1}), share{}, share{cpu: 1, gpu: 1}, []string{"v0", "v1"}},
		{"what was promised before comes first", victims(share{gpu: 1}, share{gpu: 1}), share{gpu: -1}, share{gpu: 1}, []string{"v0", "v1"}},
		{"all", victims(share{cpu: 1}, share{cpu: 1}), share{}, share{cpu: 2}, []string{"v0", "v1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, names(fewest(tt.may, tt.free, tt.ask))); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestFewestIsEnough: with the bounded search and with the way out when the
// bound is reached, the choice makes ask fit and none of it is to spare.
func TestFewestIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(0, 6)
		var may []victim
		var all share
		for range rapid.IntRange(1, 12).Draw(t, "victims") {
			s := share{amount.Draw(t, "cpu"), amount.Draw(t, "mem"), amount.Draw(t, "gpu")}
			may = append(may, victims(s)...)
			all = all.plus(s)
		}
		part := func(n int64) int64 { return rapid.Int64Range(0, n).Draw(t, "ask") }
		ask := share{part(all.cpu), part(all.mem), part(all.gpu)}
		if ask.fits(share{}) {
			return
		}
		best := fewest(may, share{}, ask)
		for _, chosen := range [][]victim{best, enough(may, share{}, ask)} {
			var got share
			for _, v := range chosen {
				got = got.plus(v.share)
			}
			if !ask.fits(got) || len(chosen) < len(best) {
				t.Fatalf("%v of %v for %v", chosen, may, ask)
			}
			for _, v := range chosen {
				if ask.fits(got.minus(v.share)) {
					t.Fatalf("%v is to spare in %v for %v", v.share, chosen, ask)
				}
			}
		}
	})
}

// TestSearchIsBounded: forty holders of odd sizes, half of them needed, do not
// take for ever.
func TestSearchIsBounded(t *testing.T) {
	var may []victim
	for i := range int64(40) {
		may = append(may, victims(share{cpu: 100 + i*i%37, mem: 100 + i*i*i%41, gpu: i % 3})...)
	}
	ask := share{cpu: 2300, mem: 2380, gpu: 27}
	s := search{may: may, ask: ask, steps: searchSteps}
	for k := 1; k < len(may) && s.steps > 0; k++ {
		if s.pick(0, k, share{}) {
			break
		}
	}
	if s.steps > 0 {
		t.Fatal("this search is too easy to test its bound")
	}
	var got share
	for _, v := range fewest(may, share{}, ask) {
		got = got.plus(v.share)
	}
	if !ask.fits(got) {
		t.Errorf("%v for %v", got, ask)
	}
}
