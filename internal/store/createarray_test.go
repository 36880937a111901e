package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// Runs that were submitted together are stored together, once.
func TestCreateArray(t *testing.T) {
	s := open(t)
	create(t, s, newRun("iris-01jd8k3v92"))
	stored, created, err := s.CreateArray(t.Context(), []*run.Run{newRun("iris-01jd8k3v91"), newRun("iris-01jd8k3v92"), newRun("iris-01jd8k3v93")}, "once", map[string][]byte{"KEY": {1}})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	ids := func(runs []run.Run) (ids []string) {
		for i := range runs {
			ids = append(ids, runs[i].ID)
			if d := cmp.Diff(map[string]string{"team": "vision", store.ArrayTag: "iris-01jd8k3v91"}, runs[i].Tags); d != "" {
				t.Error(d)
			}
		}
		return ids
	}
	first := ids(stored)
	if len(first) != 3 || first[0] != "iris-01jd8k3v91" || first[1] == "iris-01jd8k3v92" || first[2] == first[1] {
		t.Errorf("stored as %q", first)
	}
	for _, id := range first {
		if sealed, err := s.Sealed(t.Context(), id); err != nil || len(sealed) != 1 {
			t.Errorf("secrets of %s: %v, %v", id, sealed, err)
		}
	}
	again, created, err := s.CreateArray(t.Context(), []*run.Run{newRun("iris-01jd8k3v97")}, "once", nil)
	if err != nil || created {
		t.Fatal(created, err)
	}
	if d := cmp.Diff(first, ids(again)); d != "" {
		t.Error(d)
	}
	wrong := newRun("iris-01jd8k3v99")
	wrong.State = run.Running
	if _, _, err := s.CreateArray(t.Context(), []*run.Run{newRun("iris-01jd8k3v98"), wrong}, "other", nil); err == nil {
		t.Error("a run that does not begin as Queued")
	}
	all, err := s.List(t.Context(), store.Filter{})
	if err != nil || len(all) != 4 {
		t.Errorf("%d runs are stored, %v", len(all), err)
	}
}
