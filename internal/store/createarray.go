package store

import (
	"context"
	"fmt"
	"maps"

	"github.com/runnerml/runner/internal/run"
)

// ArrayTag is the tag of runs that were submitted together; its value is the id
// of the first.
const ArrayTag = "array"

// CreateArray stores runs that were submitted together, all or none, each with
// ArrayTag, and returns what is stored in their order. A requestID that was used
// before gives the runs of then. See CreateRun.
func (s *Store) CreateArray(ctx context.Context, runs []*run.Run, requestID string, secrets map[string][]byte) ([]run.Run, bool, error) {
	var stored []run.Run
	var first *row
	err := s.w.do(ctx, func(t *writeTx) (err error) {
		stored = make([]run.Run, 0, len(runs)) // it may be done again
		if first, err = findRequest(ctx, t, requestID); err != nil || first != nil {
			return err
		}
		array := ""
		for i, r := range runs {
			id, err := freeID(ctx, t, r.ID)
			if err != nil {
				return err
			}
			if array == "" {
				array = id
			}
			one := *r
			one.Tags = withTag(r.Tags, ArrayTag, array)
			request := ""
			if i == 0 {
				request = requestID
			}
			mine, n, err := newRun(&one, request)
			if err != nil {
				return err
			}
			mine.ID = id
			if err := n.insert(ctx, t, id, secrets); err != nil {
				return err
			}
			stored = append(stored, *mine)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("store an array of %d runs: %w", len(runs), err)
	}
	if first == nil {
		return stored, true, nil
	}
	again, err := s.list(ctx, Filter{Tags: map[string]string{ArrayTag: first.run.ID}}, "ASC")
	return again, false, err
}

func withTag(tags map[string]string, name, value string) map[string]string {
	with := maps.Clone(tags)
	if with == nil {
		with = map[string]string{}
	}
	with[name] = value
	return with
}
