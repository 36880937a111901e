package blob

import (
	"sync"
	"time"
)

// Progress is how far a transfer is. What need not travel counts as Bytes too.
type Progress struct {
	Files, AllFiles int   // whole, of how many
	Bytes, AllBytes int64 // of the content, of how many
	Sent            int64 // bytes that travelled, those that travelled twice counted twice
}

// often is how often progress is told.
const often = 100 * time.Millisecond

// meter counts a transfer. A nil meter counts nothing.
type meter struct {
	tell func(Progress)

	mu   sync.Mutex
	now  Progress
	last time.Time
}

func (c *Container) meter() *meter { return &meter{tell: c.report.Progress} }

func (m *meter) change(f func(*Progress)) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.now)
	if m.tell != nil && time.Since(m.last) >= often {
		m.last = time.Now()
		m.tell(m.now)
	}
}

func (m *meter) expect(files int, bytes int64) {
	m.change(func(p *Progress) { p.AllFiles += files; p.AllBytes += bytes })
}

// add counts bytes that travelled; negative ones have to travel again.
func (m *meter) add(n int64) {
	m.change(func(p *Progress) { p.Bytes += n; p.Sent += max(n, 0) })
}

func (m *meter) skip(n int64) { m.change(func(p *Progress) { p.Bytes += n }) }

func (m *meter) done() { m.change(func(p *Progress) { p.Files++ }) }

// end tells the last of it.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tell != nil {
		m.tell(m.now)
	}
}
