package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// Size is what a target has for runs, all in all. What is to be kept for the
// machine itself is taken off already.
type Size struct {
	// Target is the target's name, for words.
	Target string
	// CPUs; zero: not known and not counted.
	CPUs float64
	// Memory in bytes; zero: not known and not counted.
	Memory int64
	// GPUs by id.
	GPUs []string
}

// Held is what a run holds that is carried out: an attempt not yet ended.
type Held struct {
	Run        string
	Attempt    int
	Allocation run.Allocation
	Priority   int
	// LowPriority runs may be preempted by dedicated ones.
	LowPriority bool
	// Stopping: told to stop; its share comes free soon.
	Stopping bool
	// Since is when it got its share.
	Since time.Time
}

// Want is what a waiting run asks for.
type Want struct {
	Run  string
	CPUs float64
	// Memory in bytes; zero: none reserved.
	Memory      int64
	GPUs        int
	Priority    int
	LowPriority bool
	// Since is when it came. A run that is restarted keeps its place.
	Since time.Time
}

// Plan is what to do now. Applying only a part of it is safe: plan again.
type Plan struct {
	// Grants in the order of the queue.
	Grants []Grant
	// Preempt are the runs to stop with outcome preempted. The grant that this
	// makes room for comes in a later plan, when they are gone.
	Preempt []string
	// Reasons say why each other waiting run waits. They change with every
	// plan: made to be shown, not to be stored for each run.
	Reasons map[string]string
	// Impossible are runs that ask for more than the target has at all. They
	// keep nobody waiting.
	Impossible []Impossible
}

// Grant gives a run its share.
type Grant struct {
	Run        string
	Allocation run.Allocation
}

// Impossible is a run that can never be carried out on the target.
type Impossible struct {
	Run string
	// Why in words: "asks for 8 GPUs, local has 2".
	Why string
}

// Make plans for one target. It changes none of its arguments. A waiting run
// that is among the holding ones is left out.
func Make(size Size, holding []Held, waiting []Want) Plan {
	p := newPlanner(size, holding, len(waiting))
	for _, i := range order(waiting) {
		w := &waiting[i]
		if p.holds[w.Run] {
			continue
		}
		p.count(w)
		ask, why := p.ask(w)
		switch {
		case why != "":
			p.plan.Impossible = append(p.plan.Impossible, Impossible{w.Run, why})
		case ask.fits(p.now):
			p.grant(w, ask)
		default:
			p.block(w, ask)
		}
	}
	p.explain()
	return p.plan
}

// order returns the indices of the waiting runs, first to be served first.
func order(waiting []Want) []int32 {
	idx := make([]int32, len(waiting))
	for i := range idx {
		idx[i] = int32(i)
	}
	slices.SortFunc(idx, func(i, j int32) int {
		a, b := &waiting[i], &waiting[j]
		if a.Priority != b.Priority {
			return cmp.Compare(b.Priority, a.Priority)
		}
		if a.LowPriority != b.LowPriority {
			if b.LowPriority {
				return -1
			}
			return 1
		}
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return cmp.Compare(a.Run, b.Run)
	})
	return idx
}

// planner is a plan in the making.
type planner struct {
	size    Size
	total   share
	holding []Held
	holds   map[string]bool
	// victims are the holders that may be preempted, newest first.
	victims []victim
	// freeGPUs are the ids nobody holds.
	freeGPUs []string
	// free is what nobody holds, now what is left of it for the next in the
	// queue, soon that and what those told to stop will leave. The last two
	// fall below zero when what those ahead ask for is more than there is.
	free, now, soon share

	plan    Plan
	blocked []blocked
	head    string // the first that did not fit
	ahead   ahead
}

// blocked is a run that stays in the queue, and the facts for its reason.
type blocked struct {
	want  *Want
	ask   share
	ahead ahead
	head  string
	// room: enough comes free when those told to stop are gone.
	room bool
}

// ahead counts the blocked runs before one: of higher priority, and of the same.
type ahead struct {
	priority     int
	higher, same int
	began        bool
}

func newPlanner(size Size, holding []Held, waiting int) *planner {
	p := &planner{
		size: size, total: total(size), holding: bySince(holding), holds: make(map[string]bool, len(holding)),
		blocked: make([]blocked, 0, waiting),
	}
	p.free = p.total
	free := make(map[string]bool, len(size.GPUs))
	for _, id := range size.GPUs {
		free[id] = true
	}
	p.free.gpu = int64(len(free)) // an id that is listed twice counts once
	var leaving share
	for i := range p.holding {
		h := &p.holding[i]
		p.holds[h.Run] = true
		s := p.counted(share{cpu: milli(h.Allocation.CPUs), mem: max(h.Allocation.Memory, 0)})
		for _, id := range h.Allocation.GPUs {
			if free[id] { // not one that the target has no more
				free[id] = false
				s.gpu++
			}
		}
		p.free = p.free.minus(s)
		switch {
		case h.Stopping:
			leaving = leaving.plus(s)
		case h.LowPriority:
			p.victims = append(p.victims, victim{h, s})
		}
	}
	slices.Reverse(p.victims)
	for _, id := range size.GPUs {
		if free[id] {
			free[id] = false
			p.freeGPUs = append(p.freeGPUs, id)
		}
	}
	p.now, p.soon = p.free, p.free.plus(leaving)
	return p
}

// bySince returns the holders in an order that does not depend on how they
// were given: the first that came first.
func bySince(holding []Held) []Held {
	sorted := slices.Clone(holding)
	slices.SortFunc(sorted, func(a, b Held) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return cmp.Compare(a.Run, b.Run)
	})
	return sorted
}

// count notes how many blocked runs are ahead of w.
func (p *planner) count(w *Want) {
	if !p.ahead.began || p.ahead.priority != w.Priority {
		p.ahead = ahead{began: true, priority: w.Priority, higher: len(p.blocked)}
	}
	p.ahead.same = len(p.blocked) - p.ahead.higher
}

func (p *planner) grant(w *Want, ask share) {
	a := run.Allocation{CPUs: w.CPUs, Memory: w.Memory}
	if n := ask.gpu; n > 0 {
		a.GPUs = slices.Clone(p.freeGPUs[:n])
		p.freeGPUs = p.freeGPUs[n:]
	}
	p.plan.Grants = append(p.plan.Grants, Grant{Run: w.Run, Allocation: a})
	p.free, p.now, p.soon = p.free.minus(ask), p.now.minus(ask), p.soon.minus(ask)
}

// block leaves w in the queue, sets aside what it asks for, and makes room for
// it when it may.
func (p *planner) block(w *Want, ask share) {
	b := blocked{want: w, ask: ask, ahead: p.ahead, head: p.head}
	if p.head == "" {
		p.head = w.Run
	}
	b.room = ask.fits(p.soon)
	if !b.room && !w.LowPriority {
		b.room = p.preempt(w, ask)
	}
	p.now, p.soon = p.now.minus(ask), p.soon.minus(ask)
	p.blocked = append(p.blocked, b)
}
