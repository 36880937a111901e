package onhost

import (
	"context"
	"encoding/json"

	"github.com/runnerml/runner/internal/attemptdir"
)

// OpenAttempt makes an attempt's directory on the host and writes its record,
// unless it was started, or has one: in one question.
func (h *Host) OpenAttempt(ctx context.Context, o attemptdir.Opening) (found attemptdir.Opened, err error) {
	said, err := json.Marshal(o)
	if err != nil {
		return found, err
	}
	err = h.value(ctx, opOpenAttempt, o.Record, request{Said: said}, &found)
	return found, err
}

// WriteRecord writes an attempt's record on the host.
func (h *Host) WriteRecord(ctx context.Context, name string, data []byte, durable bool) error {
	said, err := json.Marshal(attemptdir.Opening{Record: name, Content: data, Durable: durable})
	if err != nil {
		return err
	}
	return h.value(ctx, opWriteRecord, name, request{Said: said}, nil)
}

// attempt answers what is asked about an attempt's directory.
func (s *served) attempt(ctx context.Context, r *request) (any, error) {
	var o attemptdir.Opening
	if err := json.Unmarshal(r.Said, &o); err != nil {
		return nil, err
	}
	if r.Op == opWriteRecord {
		return nil, attemptdir.WriteRecord(ctx, o.Record, o.Content, o.Durable)
	}
	return attemptdir.Open(ctx, o)
}
