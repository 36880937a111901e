package queue

import (
	"strconv"

	"github.com/runnerml/runner/internal/run"
)

// namesShown is how many holders a reason names.
const namesShown = 2

// resource is one of the three, for words.
type resource int

const (
	gpu resource = iota
	mem
	cpu
)

// explain writes the reasons once the plan is made, so that they tell of what
// is free after it.
func (p *planner) explain() {
	p.plan.Reasons = make(map[string]string, len(p.blocked))
	var buf []byte
	holders := [3]string{p.holders(gpu), p.holders(mem), p.holders(cpu)}
	for i := range p.blocked {
		buf = p.reason(buf[:0], &p.blocked[i], holders)
		p.plan.Reasons[p.blocked[i].want.Run] = string(buf)
	}
}

// reason: "waits for 1 GPU, held by iris-01jd8k3v9q", "waits for 4 CPUs (2
// free), behind 3 runs of higher priority".
func (p *planner) reason(buf []byte, b *blocked, holders [3]string) []byte {
	first := resource(-1)
	short := func(r resource, ask, free int64, what, left func(int64) string) {
		if ask == 0 || ask <= free {
			return
		}
		if first < 0 {
			first = r
			buf = append(buf, "waits for "...)
		} else {
			buf = append(buf, " and "...)
		}
		buf = append(buf, what(ask)...)
		if free > 0 {
			buf = append(buf, " ("...)
			buf = append(buf, left(free)...)
			buf = append(buf, " free)"...)
		}
	}
	short(gpu, b.ask.gpu, p.free.gpu, gpus, number)
	short(mem, b.ask.mem, p.free.mem, memory, bytes)
	short(cpu, b.ask.cpu, p.free.cpu, cpus, cpuNumber)
	switch {
	case first < 0:
		buf = append(buf, "waits its turn: what is free is kept for "...)
		buf = append(buf, b.head...)
	case b.room:
		buf = append(buf, " until preempted runs have stopped"...)
	case holders[first] != "":
		buf = append(buf, ", held by "...)
		buf = append(buf, holders[first]...)
	}
	return b.ahead.words(buf)
}

func (a ahead) words(buf []byte) []byte {
	if a.higher > 0 {
		buf = append(buf, ", behind "...)
		buf = runs(buf, a.higher)
		buf = append(buf, " of higher priority"...)
	}
	if a.same > 0 {
		if a.higher > 0 {
			buf = append(buf, " and "...)
		} else {
			buf = append(buf, ", behind "...)
		}
		buf = runs(buf, a.same)
		buf = append(buf, " of the same"...)
		if a.higher == 0 {
			buf = append(buf, " priority"...)
		}
	}
	return buf
}

func runs(buf []byte, n int) []byte {
	buf = strconv.AppendInt(buf, int64(n), 10)
	if n == 1 {
		return append(buf, " run"...)
	}
	return append(buf, " runs"...)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func memory(n int64) string { return bytes(n) + " of memory" }

// holders names the runs that hold some of r, those of this plan's grants too.
func (p *planner) holders(r resource) string {
	text, named, more := "", 0, 0
	name := func(id string, a run.Allocation) {
		if (r == gpu && len(a.GPUs) == 0) || (r == mem && a.Memory <= 0) || (r == cpu && a.CPUs <= 0) {
			return
		}
		switch named {
		case namesShown:
			more++
			return
		case 0:
			text = id
		default:
			text += ", " + id
		}
		named++
	}
	for i := range p.holding {
		name(p.holding[i].Run, p.holding[i].Allocation)
	}
	for i := range p.plan.Grants {
		name(p.plan.Grants[i].Run, p.plan.Grants[i].Allocation)
	}
	if more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}
