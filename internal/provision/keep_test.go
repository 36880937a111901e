package provision_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/provision"
)

func TestKeep(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	used := map[string]bool{venv().Digest: true}
	b.InUse = func(context.Context) (map[string]bool, error) { return used, nil }
	if list, err := b.List(ctx); len(list) != 0 || err != nil {
		t.Errorf("list %v, %v", list, err)
	}
	began := time.Now().Add(-2 * time.Second)
	if _, err := b.Ensure(ctx, venv(), "", nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	list, err := b.List(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("list %v, %v", list, err)
	}
	if i := list[0]; i.Digest != venv().Digest || i.Kind != environment.Venv || i.Tool != "uv" || i.Bytes < 1000 || i.MadeAt.Before(began) || i.UsedAt.Before(began) {
		t.Errorf("%+v", i)
	}
	lock, err := b.Lock(ctx, venv())
	if err != nil || !strings.Contains(lock, "one==1.0") {
		t.Errorf("lock %q, %v", lock, err)
	}
	if err := b.Remove(ctx, venv().Digest); !errors.Is(err, provision.ErrInUse) {
		t.Errorf("removed though it is used: %v", err)
	}
	clear(used)
	for range 2 {
		if err := b.Remove(ctx, venv().Digest); err != nil {
			t.Error(err)
		}
	}
	if left := b.left(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	for _, bad := range []string{"", "sha256:", "../../x", "sha256:../x"} {
		if err := b.Remove(ctx, bad); err == nil {
			t.Errorf("Remove(%q) gave no error", bad)
		}
	}
	b.tool.set(t, "hold", true)
	w := b.want(venv())
	b.eventually("it to be made", func() bool { return b.tool.count() == 2 })
	if err := b.Remove(ctx, venv().Digest); !errors.Is(err, provision.ErrInUse) {
		t.Errorf("removed while it is made: %v", err)
	}
	w.cancel()
	<-w.done
}
