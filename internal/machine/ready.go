package machine

import (
	"sync"

	"github.com/runnerml/runner/backends"
)

// readyRecords are those of attempts that were prepared just now, so that Start
// need not ask for them. Each is given once; who has none reads the file.
type readyRecords struct {
	mu      sync.Mutex
	records map[string]*record
}

func (p *readyRecords) keep(ref backends.Ref, r *record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.records == nil {
		p.records = map[string]*record{}
	}
	p.records[mark(ref)] = r
}

// take gives the record and forgets it; nil: it is not known.
func (p *readyRecords) take(ref backends.Ref) *record {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.records[mark(ref)]
	delete(p.records, mark(ref))
	return r
}
