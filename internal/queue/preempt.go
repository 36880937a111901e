package queue

import "slices"

// victim is a holder that may be preempted.
type victim struct {
	held  *Held
	share share
}

// yields reports whether v may be preempted for w: one of higher priority
// would come back before w.
func (v victim) yields(w *Want) bool { return v.held.Priority <= w.Priority }

// preempt picks holders to stop so that ask fits, and reports whether that is
// possible; otherwise it picks none.
func (p *planner) preempt(w *Want, ask share) bool {
	all := p.soon
	for _, v := range p.victims {
		if v.yields(w) {
			all = all.plus(v.share)
		}
	}
	if !ask.fits(all) {
		return false
	}
	may := make([]victim, 0, len(p.victims))
	for _, v := range p.victims {
		if v.yields(w) {
			may = append(may, v)
		}
	}
	chosen := fewest(may, p.soon, ask)
	for _, v := range chosen {
		p.plan.Preempt = append(p.plan.Preempt, v.held.Run)
		p.soon = p.soon.plus(v.share)
	}
	p.victims = slices.DeleteFunc(p.victims, func(v victim) bool {
		return slices.ContainsFunc(chosen, func(c victim) bool { return c.held == v.held })
	})
	return true
}

// searchSteps bounds the search for the fewest. With more than some twenty
// holders that are all needed in part, the answer may have one too many.
const searchSteps = 20_000

// fewest returns the smallest set of victims that makes ask fit into free, the
// newest of these sets; all of them together are known to do.
func fewest(may []victim, free, ask share) []victim {
	s := search{may: may, ask: ask, steps: searchSteps}
	for k := 1; k < len(may) && s.steps > 0; k++ {
		if s.pick(0, k, free) {
			return s.chosen
		}
	}
	return enough(may, free, ask)
}

// search tries sets of k, in the order newest first.
type search struct {
	may    []victim
	ask    share
	steps  int
	chosen []victim
}

func (s *search) pick(from, k int, free share) bool {
	if k == 0 {
		return s.ask.fits(free)
	}
	if s.steps--; s.steps < 0 || !s.ask.fits(free.plus(best(s.may[from:], k))) {
		return false
	}
	for i := from; i <= len(s.may)-k; i++ {
		s.chosen = append(s.chosen, s.may[i])
		if s.pick(i+1, k-1, free.plus(s.may[i].share)) {
			return true
		}
		s.chosen = s.chosen[:len(s.chosen)-1]
	}
	return false
}

// best is more than any k of the victims can give: k times the largest share
// of each resource.
func best(may []victim, k int) share {
	var m share
	for _, v := range may {
		m = share{max(m.cpu, v.share.cpu), max(m.mem, v.share.mem), max(m.gpu, v.share.gpu)}
	}
	n := int64(k)
	return share{m.cpu * n, m.mem * n, m.gpu * n}
}

// enough takes victims, newest first, until ask fits, and gives back those
// that turn out not to be needed, oldest first.
func enough(may []victim, free, ask share) []victim {
	var chosen []victim
	for _, v := range may {
		if ask.fits(free) {
			break
		}
		chosen = append(chosen, v)
		free = free.plus(v.share)
	}
	for i := len(chosen) - 1; i >= 0; i-- {
		if without := free.minus(chosen[i].share); ask.fits(without) {
			free = without
			chosen = slices.Delete(chosen, i, i+1)
		}
	}
	return chosen
}
