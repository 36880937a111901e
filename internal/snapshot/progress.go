package snapshot

import (
	"sync"
	"time"
)

// Progress says how far a Take or Unpack is.
type Progress struct {
	Files, TotalFiles int
	Bytes, TotalBytes int64
}

// meter counts and reports, not more often than people can read, and never
// from two goroutines at once. A nil meter does nothing.
type meter struct {
	report func(Progress)

	mu   sync.Mutex
	now  Progress
	last time.Time
}

const reportEvery = 100 * time.Millisecond

func newMeter(report func(Progress), t Totals) *meter {
	if report == nil {
		return nil
	}
	m := &meter{report: report, now: Progress{TotalFiles: t.Files, TotalBytes: t.Bytes}}
	report(m.now)
	m.last = time.Now()
	return m
}

// add counts one finished file.
func (m *meter) add(bytes int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Files++
	m.now.Bytes += bytes
	if now := time.Now(); now.Sub(m.last) >= reportEvery {
		m.last = now
		m.report(m.now)
	}
}

// skip counts as finished all but these entries.
func (m *meter) skip(t Totals, but []Entry) {
	if m == nil {
		return
	}
	left := (&Manifest{Entries: but}).Totals()
	m.now.Files, m.now.Bytes = t.Files-left.Files, t.Bytes-left.Bytes
}

// all counts everything as finished.
func (m *meter) all() {
	if m == nil {
		return
	}
	m.now.Files, m.now.Bytes = m.now.TotalFiles, m.now.TotalBytes
	m.done()
}

// done reports the end.
func (m *meter) done() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report(m.now)
}
