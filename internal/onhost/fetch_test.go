package onhost_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
)

func client(t *testing.T) *onhost.Client {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	here := host.NewHere(t.TempDir())
	t.Cleanup(func() {
		if err := here.Close(); err != nil {
			t.Error(err)
		}
	})
	return onhost.New(away{here}, self, nil)
}

// files writes files of all kinds of content and gives it by name.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	random := make([]byte, 3<<20)
	_, _ = rand.Read(random) // never fails
	text := bytes.Repeat([]byte("epoch 1 loss 0.25\n"), 100_000)
	all := map[string][]byte{
		"empty": {}, "a byte": {7}, "text": text, "random": random, "zero": make([]byte, 1<<20+1),
		"changes":      bytes.Join([][]byte{text, random, text, random[:1<<20], text}, nil),
		"ü \"odd\"\nx": []byte("odd"),
	}
	for name, content := range all {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// sums says what each content is, by its name.
func sums(contents map[string][]byte) map[string]string {
	said := map[string]string{}
	for name, content := range contents {
		said[name] = fmt.Sprintf("%d bytes, %x", len(content), sha256.Sum256(content))
	}
	return said
}

// fetched is what a Fetch brought.
type fetched struct {
	mu      sync.Mutex
	items   []onhost.Item
	content map[string][]byte
	at      map[string]int64
}

func fetch(t *testing.T, dir string, wish func(onhost.Wish, onhost.Item) onhost.Wish) *fetched {
	t.Helper()
	f := &fetched{content: map[string][]byte{}, at: map[string]int64{}}
	err := client(t).Fetch(t.Context(), []string{dir}, func(items []onhost.Item) (wishes []onhost.Wish, _ error) {
		f.items = items
		for n, i := range items {
			if i.Mode.IsRegular() {
				wishes = append(wishes, wish(onhost.Wish{Index: n}, i))
			}
		}
		return wishes, nil
	}, func(n int, at int64, r io.Reader) error {
		content, err := io.ReadAll(r)
		f.mu.Lock()
		defer f.mu.Unlock()
		name := filepath.Base(f.items[n].Path)
		f.content[name], f.at[name] = content, at
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFetch(t *testing.T) {
	dir := t.TempDir()
	want := files(t, dir)
	got := fetch(t, dir, func(w onhost.Wish, _ onhost.Item) onhost.Wish { return w })
	if diff := cmp.Diff(sums(want), sums(got.content)); diff != "" {
		t.Error(diff)
	}
}

// Much comes in several streams.
func TestFetchMuch(t *testing.T) {
	dir := t.TempDir()
	const size = 200 << 20
	for _, name := range []string{"sparse 1", "sparse 2", "sparse 3"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var came sync.Map // by name: bytes
	var items []onhost.Item
	var meeting sync.WaitGroup // streams that are at work at the same time
	meeting.Add(3)
	err := client(t).Fetch(t.Context(), []string{dir}, func(all []onhost.Item) (wishes []onhost.Wish, _ error) {
		items = all
		for n, i := range items {
			if i.Mode.IsRegular() {
				wishes = append(wishes, onhost.Wish{Index: n})
			}
		}
		return wishes, nil
	}, func(n int, _ int64, r io.Reader) error {
		meeting.Done()
		meeting.Wait()
		size, err := io.Copy(io.Discard, r)
		came.Store(filepath.Base(items[n].Path), size)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sparse 1", "sparse 2", "sparse 3"} {
		if n, _ := came.Load(name); n != int64(size) {
			t.Errorf("%s came with %v bytes", name, n)
		}
	}
}

func TestFetchWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	all := files(t, dir)
	sum := func(b []byte) []byte {
		s := sha256.Sum256(b)
		return s[:]
	}
	got := fetch(t, dir, func(w onhost.Wish, i onhost.Item) onhost.Wish {
		switch name := filepath.Base(i.Path); name {
		case "text": // is here
			w.Have = sum(all[name])
		case "empty": // is another here
			w.Have = sum([]byte("x"))
		case "random": // was begun
			w.At, w.Begun = 1<<20+1, sum(all[name][:1<<20+1])
		case "changes": // another of that name was begun
			w.At, w.Begun = 1<<20, sum(all[name][1:1<<20+1])
		case "zero": // all of it was begun
			w.At, w.Begun = i.Size, sum(all[name])
		case "a byte": // it is shorter than what was begun
			w.At, w.Begun = 2, sum([]byte{7, 7})
		}
		return w
	})
	delete(all, "text")
	all["random"], all["zero"] = all["random"][1<<20+1:], []byte{}
	if diff := cmp.Diff(sums(all), sums(got.content)); diff != "" {
		t.Error(diff)
	}
	for name, at := range got.at {
		want := map[string]int64{"random": 1<<20 + 1, "zero": 1<<20 + 1}[name]
		if at != want {
			t.Errorf("%q came from byte %d on, want %d", name, at, want)
		}
	}
}

// What cannot be read is an error, not a short file.
func TestFetchUnreadable(t *testing.T) {
	dir := t.TempDir()
	files(t, dir)
	err := client(t).Fetch(t.Context(), []string{dir}, func(items []onhost.Item) ([]onhost.Wish, error) {
		for n, i := range items {
			if filepath.Base(i.Path) == "text" {
				return []onhost.Wish{{Index: n}}, os.Remove(i.Path)
			}
		}
		return nil, nil
	}, func(int, int64, io.Reader) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "text") {
		t.Errorf("error %v", err)
	}
}
