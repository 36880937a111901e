package queue

import (
	"fmt"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// share is an amount of each resource, in whole numbers so that sums are
// exact: thousandths of a CPU, bytes, GPUs.
type share struct{ cpu, mem, gpu int64 }

// uncounted stands for a resource that is not counted: larger than all that
// is asked for together.
const uncounted = math.MaxInt64 / 2

func (s share) plus(o share) share  { return share{s.cpu + o.cpu, s.mem + o.mem, s.gpu + o.gpu} }
func (s share) minus(o share) share { return share{s.cpu - o.cpu, s.mem - o.mem, s.gpu - o.gpu} }

// fits reports whether s can be taken out of free. What is not asked for does
// not matter.
func (s share) fits(free share) bool {
	return (s.cpu == 0 || s.cpu <= free.cpu) && (s.mem == 0 || s.mem <= free.mem) && (s.gpu == 0 || s.gpu <= free.gpu)
}

func milli(cpus float64) int64 {
	const most = 1e9 // CPUs; beyond lies nonsense that would overflow sums
	return int64(math.Round(min(max(cpus, 0), most) * 1000))
}

func total(s Size) share {
	t := share{cpu: milli(s.CPUs), mem: s.Memory, gpu: int64(len(s.GPUs))}
	if t.cpu <= 0 {
		t.cpu = uncounted
	}
	if t.mem <= 0 {
		t.mem = uncounted
	}
	return t
}

// counted drops what is not counted on this target.
func (p *planner) counted(s share) share {
	if p.total.cpu == uncounted {
		s.cpu = 0
	}
	if p.total.mem == uncounted {
		s.mem = 0
	}
	return s
}

// ask is what w takes of the counted resources, or why it never can.
func (p *planner) ask(w *Want) (share, string) {
	s := p.counted(share{cpu: milli(w.CPUs), mem: max(w.Memory, 0), gpu: int64(max(w.GPUs, 0))})
	target := p.size.Target
	if target == "" {
		target = "the target"
	}
	switch {
	case s.gpu > p.total.gpu:
		return s, fmt.Sprintf("asks for %s, %s has %d", gpus(s.gpu), target, p.total.gpu)
	case s.cpu > p.total.cpu:
		return s, fmt.Sprintf("asks for %s, %s has %s", cpus(s.cpu), target, cpuNumber(p.total.cpu))
	case s.mem > p.total.mem:
		return s, fmt.Sprintf("asks for %s of memory, %s has %s", bytes(s.mem), target, bytes(p.total.mem))
	}
	return s, ""
}

func gpus(n int64) string {
	if n == 1 {
		return "1 GPU"
	}
	return strconv.FormatInt(n, 10) + " GPUs"
}

func cpus(milli int64) string {
	if milli == 1000 {
		return "1 CPU"
	}
	return cpuNumber(milli) + " CPUs"
}

func cpuNumber(milli int64) string {
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}

func bytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
