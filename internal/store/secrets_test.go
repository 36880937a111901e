package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/store"
)

func TestSecrets(t *testing.T) {
	ctx := t.Context()
	s := openAt(t, filepath.Join(t.TempDir(), "runner.db"))
	later := start.Add(time.Hour)
	for _, one := range []struct {
		name, sealed string
		at           time.Time
	}{{"b", "1", start}, {"a", "2", start}, {"b", "3", later}} {
		if err := s.SetSecret(ctx, one.name, []byte(one.sealed), one.at); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Secrets(ctx)
	if d := cmp.Diff([]store.StoredSecret{{Name: "a", SetAt: start}, {Name: "b", SetAt: later}}, all); d != "" || err != nil {
		t.Error(d, err)
	}
	if sealed, err := s.SealedSecret(ctx, "b"); string(sealed) != "3" || err != nil {
		t.Errorf("%q, %v", sealed, err)
	}
	if err := s.DeleteSecret(ctx, "b"); err != nil {
		t.Error(err)
	}
	var missing *store.NotFoundError
	if _, err := s.SealedSecret(ctx, "b"); !errors.As(err, &missing) {
		t.Error(err)
	}
	if err := s.DeleteSecret(ctx, "b"); !errors.As(err, &missing) || missing.Error() != `there is no secret "b"` {
		t.Error(err)
	}
}
