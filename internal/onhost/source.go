package onhost

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/datafetch"
)

// A source may name many blobs: it goes as a stream.

func saySource(out *speaker, s datafetch.Source) error {
	said := out.stream()
	if err := json.NewEncoder(said).Encode(s); err != nil {
		return err
	}
	return said.Close()
}

func hearSource(in *listener, s *datafetch.Source) error {
	said := in.stream()
	if err := json.NewDecoder(said).Decode(s); err != nil {
		// Its text may hold what stands in the source.
		return fmt.Errorf("what to bring: %w", errFrame)
	}
	return said.rest()
}

func unmarshal(payload []byte, into any) error { return json.Unmarshal(payload, into) }

// seldom tells progress no more often than somebody reads it.
type seldom struct {
	tell datafetch.Progress

	mu   sync.Mutex
	last time.Time
}

const tellEvery = 200 * time.Millisecond

func (s *seldom) progress(done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if done != total && time.Since(s.last) < tellEvery {
		return
	}
	s.last = time.Now()
	s.tell(done, total)
}
