package datacache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/datacache"
)

func write(t *testing.T, name string, size int, used time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, make([]byte, size), 0o400); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{name, filepath.Dir(name)} {
		if err := os.Chtimes(n, used, used); err != nil {
			t.Fatal(err)
		}
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestManyWantOne(t *testing.T) {
	dir := t.TempDir()
	var fills, made atomic.Int32
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			filled, err := datacache.Open(dir).Fill(t.Context(), "one", func(_ context.Context, part string) error {
				fills.Add(1)
				return os.Mkdir(part, 0o700)
			})
			if err != nil {
				t.Error(err)
			}
			if filled {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if fills.Load() != 1 || made.Load() != 1 {
		t.Errorf("filled %d times, %d say so", fills.Load(), made.Load())
	}
	if diff := cmp.Diff([]string{"one", "one.seal"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// What a filler that failed left is there for the next one.
func TestPartIsGoneOnWith(t *testing.T) {
	c := datacache.Open(t.TempDir())
	broken := errors.New("broken")
	_, err := c.Fill(t.Context(), "k", func(_ context.Context, part string) error {
		return errors.Join(os.WriteFile(part, []byte("half"), 0o600), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if there, err := c.Use(t.Context(), "k"); there || err != nil {
		t.Errorf("use %v, %v", there, err)
	}
	_, err = c.Fill(t.Context(), "k", func(_ context.Context, part string) error {
		got, err := os.ReadFile(part)
		if string(got) != "half" {
			t.Errorf("part %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if there, err := c.Use(t.Context(), "k"); !there || err != nil {
		t.Errorf("use %v, %v", there, err)
	}
}

func TestKeys(t *testing.T) {
	c := datacache.Open(t.TempDir())
	for _, key := range []string{"", ".", "..", "a/b", "../x", "x.part", "x.lock", "x.gone", "x.seal"} {
		if _, err := c.Use(t.Context(), key); !errors.Is(err, datacache.ErrKey) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestPrune(t *testing.T) {
	now := time.Now()
	old := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	for name, test := range map[string]struct {
		policy datacache.Policy
		used   []string
		left   []string
		freed  []string
	}{
		"by age":               {datacache.Policy{Before: old(25)}, nil, []string{"a", "b"}, []string{"d", "c", "half"}},
		"never in use":         {datacache.Policy{Before: now}, []string{"a", "d"}, []string{"a", "d"}, []string{"c", "b", "half"}},
		"by size":              {datacache.Policy{MaxBytes: 250}, nil, []string{"a", "b"}, []string{"d", "c", "half"}},
		"what is used is size": {datacache.Policy{MaxBytes: 250}, []string{"d"}, []string{"a", "d"}, []string{"c", "b", "half"}},
		"nothing":              {datacache.Policy{}, nil, []string{"a", "b", "c", "d", "half.part"}, nil},
		"dry":                  {datacache.Policy{Before: old(25), DryRun: true}, nil, []string{"a", "b", "c", "d", "half.part"}, []string{"d", "c", "half"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for key, hours := range map[string]int{"a": 1, "b": 24, "c": 48, "d": 72, "half.part": 30} {
				write(t, filepath.Join(dir, key, "file"), 100, old(hours))
			}
			test.policy.InUse = func() (map[string]bool, error) {
				used := map[string]bool{}
				for _, k := range test.used {
					used[k] = true
				}
				return used, nil
			}
			items, err := datacache.Open(dir).Prune(t.Context(), test.policy)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.left, names(t, dir)); diff != "" {
				t.Error(diff)
			}
			seen := map[string]bool{}
			for _, i := range items {
				seen[i.Key] = true
				if i.Bytes != 100 {
					t.Errorf("%+v", i)
				}
			}
			if len(seen) != len(test.freed) {
				t.Errorf("freed %v, want %v", items, test.freed)
			}
			for _, k := range test.freed {
				if !seen[k] {
					t.Errorf("freed %v, want %v", items, test.freed)
				}
			}
		})
	}
	if items, err := datacache.Open(filepath.Join(t.TempDir(), "none")).Prune(t.Context(), datacache.Policy{
		InUse: func() (map[string]bool, error) { return nil, nil },
	}); err != nil || items != nil {
		t.Errorf("of nothing: %v, %v", items, err)
	}
}

// A prune that was cut, or a filler at work, leaves nothing that looks whole
// and takes nothing that is not ours to take.
func TestPruneMeetsOthers(t *testing.T) {
	dir := t.TempDir()
	c := datacache.Open(dir)
	write(t, filepath.Join(dir, "cut.123.gone", "file"), 1, time.Now())
	none := func() (map[string]bool, error) { return nil, nil }
	pruned := make(chan []datacache.Item)
	_, err := c.Fill(t.Context(), "k", func(ctx context.Context, part string) error {
		write(t, filepath.Join(part, "file"), 10, time.Now().Add(-time.Hour))
		go func() {
			items, err := c.Prune(ctx, datacache.Policy{Before: time.Now(), InUse: none})
			if err != nil {
				t.Error(err)
			}
			pruned <- items
		}()
		if items := <-pruned; len(items) > 0 {
			t.Errorf("taken from its filler: %v", items)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"k", "k.seal"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	// Whoever says that it uses something before it asks for it keeps it.
	if _, err := c.Prune(t.Context(), datacache.Policy{Before: time.Now().Add(time.Hour), InUse: func() (map[string]bool, error) {
		return map[string]bool{"k": true}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	if there, err := c.Use(t.Context(), "k"); !there || err != nil {
		t.Errorf("use %v, %v", there, err)
	}
}

// What a script that may do anything changed is made anew for the next one.
func TestChangedIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	c := datacache.Open(dir)
	fills := 0
	fill := func() {
		t.Helper()
		_, err := c.Fill(t.Context(), "k", func(_ context.Context, part string) error {
			fills++
			write(t, filepath.Join(part, "sub", "file"), 10, time.Now().Add(-time.Hour))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fill()
	fill()
	if fills != 1 {
		t.Fatalf("filled %d times", fills)
	}
	name := filepath.Join(dir, "k", "sub", "file")
	for i, change := range []func() error{
		func() error { return errors.Join(os.Chmod(name, 0o600), os.WriteFile(name, []byte("other"), 0o600)) },
		func() error { return os.WriteFile(filepath.Join(dir, "k", "new"), nil, 0o600) },
		func() error { return os.RemoveAll(name) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if there, err := c.Use(t.Context(), "k"); there || err != nil {
			t.Errorf("change %d: use %v, %v", i, there, err)
		}
		fill()
		if data, err := os.ReadFile(name); err != nil || len(data) != 10 || fills != i+2 {
			t.Errorf("change %d: %q, %v, filled %d times", i, data, err, fills)
		}
	}
	if _, err := c.Prune(t.Context(), datacache.Policy{InUse: func() (map[string]bool, error) { return nil, nil }, Before: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
