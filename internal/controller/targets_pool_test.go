package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
)

// poolBackend has nodes of an engine's.
type poolBackend struct {
	fakeBackend
	pool backends.Pool
	err  error
}

func (b poolBackend) Pool(context.Context) (backends.Pool, error) { return b.pool, b.err }

// A target is told with its nodes, and without them when the engine does not
// answer.
func TestTargetWithPool(t *testing.T) {
	pool := backends.Pool{MaxNodes: 3, Nodes: []backends.PoolNode{{Name: "n1", State: backends.NodeIdle}}}
	for _, c := range []struct {
		name    string
		backend backends.Backend
		want    *backends.Pool
		message string
	}{
		{"it has none", fakeBackend{newFakeTarget(1)}, nil, ""},
		{"it has", poolBackend{fakeBackend{newFakeTarget(1)}, pool, nil}, &pool, ""},
		{"it does not answer", poolBackend{fakeBackend{newFakeTarget(1)}, pool, errors.New("no answer")}, nil, "no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var info TargetInfo
			(&target{backend: c.backend}).lookAtPool(t.Context(), &info)
			if d := cmp.Diff(TargetInfo{Pool: c.want, PoolMessage: c.message}, info); d != "" {
				t.Error(d)
			}
		})
	}
}
