package provision_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/provision"
)

// made puts an environment there as if it had been made and used then.
func (b *bench) made(letter string, size int, used time.Time) string {
	b.Helper()
	hex := strings.Repeat(letter, 64)
	dir := filepath.Join(b.root, "environments", hex)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string]string{
		environment.ReadyFile: `{"digest": "sha256:` + hex + `", "kind": "venv"}`, "runner-used": "", "lib": strings.Repeat("x", size),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), used, used); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Chtimes(dir, used, used); err != nil {
		b.Fatal(err)
	}
	return "sha256:" + hex
}

func TestPrune(t *testing.T) {
	now := time.Now()
	ago := func(days int) time.Time { return now.Add(-time.Duration(days) * 24 * time.Hour) }
	const mib = 1 << 20
	for name, test := range map[string]struct {
		policy provision.Policy
		inUse  string
		keep   string
		want   string // which go, the longest unused first
	}{
		"by age":              {provision.Policy{Before: ago(25)}, "", "", "dc"},
		"not in use":          {provision.Policy{Before: now}, "d", "b", "ca"},
		"by size":             {provision.Policy{MaxDirectories: 2*mib + mib/2}, "", "", "dc"},
		"what is used counts": {provision.Policy{MaxDirectories: 2*mib + mib/2}, "d", "", "cb"},
		"all are used":        {provision.Policy{MaxDirectories: 1}, "abcd", "", ""},
		"no limit":            {provision.Policy{}, "", "", ""},
		"images only":         {provision.Policy{Before: now, SkipDirectories: true}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			letters := map[string]string{}
			for i, letter := range []string{"a", "b", "c", "d"} {
				letters[b.made(letter, mib, ago(10*(i+1)))] = letter
			}
			digests := func(of string) map[string]bool {
				set := map[string]bool{}
				for _, l := range of {
					set["sha256:"+strings.Repeat(string(l), 64)] = true
				}
				return set
			}
			b.InUse = func(context.Context) (map[string]bool, error) { return digests(test.inUse), nil }
			test.policy.Keep = digests(test.keep)
			for _, dry := range []bool{true, false} {
				test.policy.DryRun = dry
				freed, err := b.Prune(t.Context(), test.policy)
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				for _, i := range freed {
					got += letters[i.Digest]
					if i.Bytes < mib {
						t.Errorf("%+v", i)
					}
				}
				if got != test.want {
					t.Errorf("dry %v: freed %q, want %q", dry, got, test.want)
				}
			}
			for _, name := range b.left() {
				if strings.Contains(test.want, name[:1]) {
					t.Errorf("left: %s", name)
				}
			}
			if left := len(b.left()); left != 4-len(test.want) {
				t.Errorf("%d are left", left)
			}
		})
	}
}

// What a build that was killed left goes, of one that goes on nothing.
func TestPruneHalfMade(t *testing.T) {
	b := newBench(t)
	hex := strings.Repeat("b", 64)
	for _, name := range []string{hex + "/lib/x", hex + ".make/log", hex + ".recipe/x", "not ours/x"} {
		path := filepath.Join(b.root, "environments", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.tool.set(t, "hold", true)
	w := b.want(venv())
	b.eventually("it to be begun", func() bool { return b.tool.count() == 1 })
	if freed, err := b.Prune(t.Context(), provision.Policy{Before: time.Now().Add(-time.Hour)}); err != nil || len(freed) > 0 {
		t.Errorf("too young: %v, %v", freed, err)
	}
	freed, err := b.Prune(t.Context(), provision.Policy{Before: time.Now().Add(time.Hour)})
	if err != nil || len(freed) != 1 || freed[0].Digest != "sha256:"+hex {
		t.Errorf("freed %v, %v", freed, err)
	}
	left := b.left()
	if slices.ContainsFunc(left, func(n string) bool { return strings.HasPrefix(n, "b") }) || !slices.Contains(left, "not ours") {
		t.Error(cmp.Diff(nil, left))
	}
	b.tool.set(t, "hold", false)
	<-w.done
	if w.err != nil {
		t.Errorf("what was being made: %v", w.err)
	}
}
