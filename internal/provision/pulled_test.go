package provision_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/provision"
	"github.com/runnerml/runner/internal/testenv"
)

// pushed is an image that is in the registry and nowhere else.
func (b *dockerBench) pushed(t *testing.T, r testenv.ImageRegistry) (reference string) {
	t.Helper()
	name := strings.ToLower(rand.Text())
	var tree bytes.Buffer
	archive := tar.NewWriter(&tree)
	if err := archive.WriteHeader(&tar.Header{Name: "name", Mode: 0o644, Size: int64(len(name))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write([]byte(name)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	local := b.engine.Image(t, "runner-test/"+name+":1", &tree)
	reference = r.Push(local, "pulled/"+name+":1")
	if err := b.api.RemoveImage(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.api.RemoveImage(context.WithoutCancel(t.Context()), reference) }) // mostly it is gone
	return reference
}

func (b *dockerBench) docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := b.engine.Command(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (b *dockerBench) has(t *testing.T, reference string) bool {
	t.Helper()
	_, err := b.api.Inspect(t.Context(), reference)
	if err != nil && container.KindOf(err) != container.ImageNotFound {
		t.Fatal(err)
	}
	return err == nil
}

// Images that runs pulled go when nobody needs them; no others do.
func TestPrunePulledImages(t *testing.T) {
	registry := testenv.Registry(t, false)
	later, ago := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	const other = "runner-test/other-name:1"
	for _, c := range []struct {
		name          string
		before, after func(t *testing.T, b *dockerBench, reference string) // the environment is made
		policy        provision.Policy
		used          bool // by an attempt
		goes          bool
		noNote        bool
	}{
		{name: "old", policy: provision.Policy{Before: later}, goes: true},
		{name: "not old enough", policy: provision.Policy{Before: ago}},
		{name: "over the size", policy: provision.Policy{Before: ago, MaxImages: 1}, goes: true},
		{name: "images are left alone", policy: provision.Policy{Before: later, SkipImages: true}},
		{name: "an attempt has it", policy: provision.Policy{Before: later}, used: true},
		{
			name: "it was there before", policy: provision.Policy{Before: later}, noNote: true,
			before: func(t *testing.T, b *dockerBench, reference string) { b.docker(t, "pull", reference) },
		},
		{
			name: "a container has it", policy: provision.Policy{Before: later},
			after: func(t *testing.T, b *dockerBench, reference string) {
				id := b.docker(t, "create", reference, "/name")
				t.Cleanup(func() { _ = b.engine.Command(context.WithoutCancel(t.Context()), "rm", id).Run() })
			},
		},
		{
			name: "somebody tagged it since", policy: provision.Policy{Before: later}, noNote: true,
			after: func(t *testing.T, b *dockerBench, reference string) { b.docker(t, "tag", reference, reference) },
		},
		{
			name: "somebody removed it and pulled it again", policy: provision.Policy{Before: later}, noNote: true,
			after: func(t *testing.T, b *dockerBench, reference string) {
				b.docker(t, "rmi", reference)
				b.docker(t, "pull", reference)
			},
		},
		{
			name: "nobody has it any more", policy: provision.Policy{Before: later}, noNote: true,
			after: func(t *testing.T, b *dockerBench, reference string) { b.docker(t, "rmi", reference) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newDockerBench(t)
			reference := b.pushed(t, registry)
			if c.before != nil {
				c.before(t, b, reference)
			}
			r := resolve(t, environment.Spec{Docker: &environment.Docker{Image: reference}}, b.store)
			for range 2 {
				if made, err := b.Ensure(t.Context(), r, "", nil, nil); err != nil || made.Image != reference {
					t.Fatal(made, err)
				}
			}
			if c.after != nil {
				c.after(t, b, reference)
			}
			b.InUse = func(context.Context) (map[string]bool, error) { return map[string]bool{r.Digest: c.used}, nil }
			there := b.has(t, reference)
			var want []string
			if c.goes {
				want = []string{reference}
			}
			for _, dry := range []bool{true, false, false} {
				policy := c.policy
				policy.DryRun = dry
				freed, err := b.Prune(t.Context(), policy)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, i := range freed {
					if !i.Pulled || i.Bytes == 0 {
						t.Errorf("%+v", i)
					}
					got = append(got, i.Image)
				}
				if dry && c.name == "a container has it" {
					got = nil // only removing it tells
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("dry %v: %s", dry, d)
				}
				if has := b.has(t, reference); has != (there && (dry || !c.goes)) {
					t.Errorf("dry %v: it is there: %v", dry, has)
				}
				if !dry {
					want = nil
				}
			}
			notes, err := os.ReadDir(filepath.Join(b.Host.Root(), "images"))
			if noNote := err != nil || len(notes) == 0; noNote != (c.noNote || c.goes) {
				t.Errorf("notes %v, %v", notes, err)
			}
		})
	}

	t.Run("another name stays", func(t *testing.T) {
		b := newDockerBench(t)
		reference := b.pushed(t, registry)
		r := resolve(t, environment.Spec{Docker: &environment.Docker{Image: reference}}, b.store)
		if _, err := b.Ensure(t.Context(), r, "", nil, nil); err != nil {
			t.Fatal(err)
		}
		name := strings.Replace(other, "other", strings.ToLower(rand.Text()), 1)
		b.docker(t, "tag", reference, name)
		t.Cleanup(func() { _ = b.api.RemoveImage(context.WithoutCancel(t.Context()), name) })
		if _, err := b.Prune(t.Context(), provision.Policy{Before: later}); err != nil {
			t.Fatal(err)
		}
		if !b.has(t, name) {
			t.Error("an image with a name of somebody else's is gone")
		}
	})
}

// The base of an image that is made here is pulled, too.
func TestPrunePulledBase(t *testing.T) {
	b := newDockerBench(t)
	registry := testenv.Registry(t, false)
	reference := registry.Push(b.engine.Base, "pulled/"+strings.ToLower(rand.Text())+":1")
	t.Cleanup(func() { _ = b.api.RemoveImage(context.WithoutCancel(t.Context()), reference) })
	r := resolve(t, environment.Spec{Docker: &environment.Docker{Image: reference}, Python: &environment.Python{}}, b.store)
	b.forget(t, r)
	if _, err := b.Ensure(t.Context(), r, "", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), r.Digest); err != nil {
		t.Fatal(err)
	}
	freed, err := b.Prune(t.Context(), provision.Policy{Before: time.Now().Add(time.Hour)})
	if err != nil || len(freed) != 1 || freed[0].Image != reference || b.has(t, reference) {
		t.Errorf("freed %+v, %v", freed, err)
	}
	if !b.has(t, b.engine.Base) {
		t.Error("the same image by another name is gone")
	}
}
