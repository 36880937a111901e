package artifacttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/artifact"
)

var errLine = errors.New("the line broke")

// sameName: of several that are stored under one name, one is there, whole.
func sameName(w *world) {
	var group sync.WaitGroup
	const size = 300_000
	for i := range 8 {
		group.Go(func() {
			content := strings.Repeat(string(rune('a'+i)), size)
			file := artifact.File{Path: "outputs/f", Size: size, Mode: 0o600}
			if err := w.folder.Put(w.Context(), file, strings.NewReader(content)); err != nil {
				w.Error(err)
			}
		})
	}
	group.Wait()
	got := w.read("outputs/f")
	if len(got) != size || strings.Count(got, got[:1]) != size {
		w.Errorf("%d bytes, of several", len(got))
	}
	w.must(w.folder.Settle(w.Context()))
	w.expect("outputs/f 300000")
}

func wrongSize(w *world) {
	w.put("outputs/f", "whole")
	for _, size := range []int64{1, 100} {
		err := w.folder.Put(w.Context(), artifact.File{Path: "outputs/f", Size: size, Mode: 0o600}, strings.NewReader("ten bytes."))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			w.Errorf("ten bytes as %d: %v", size, err)
		}
	}
	if got := w.read("outputs/f"); got != "whole" {
		w.Errorf("holds %q", got)
	}
}

// cutInTheMiddle: what was cut off is not there, and what was there before stays.
func cutInTheMiddle(w *world) {
	w.put("outputs/old", "whole")
	content := random(w.Large)
	for _, came := range []int64{3, w.Large / 2, w.Large - 1} {
		for _, name := range []string{"outputs/old", "outputs/new"} {
			r := io.MultiReader(bytes.NewReader(content[:came]), iotest.ErrReader(errLine))
			if err := w.folder.Put(w.Context(), artifact.File{Path: name, Size: w.Large, Mode: 0o600}, r); !errors.Is(err, errLine) {
				w.Errorf("cut after %d bytes: %v", came, err)
			}
		}
		w.expect("outputs/old 5")
	}
	if got := w.read("outputs/old"); got != "whole" {
		w.Errorf("holds %q", got)
	}
	if _, err := w.folder.Open(w.Context(), "outputs/new"); !errors.Is(err, fs.ErrNotExist) {
		w.Errorf("what was cut off: %v", err)
	}
}

// goOn: a file that was cut off is stored whole later, from where it was if the
// store can.
func goOn(w *world) {
	content := random(w.Large)
	file := artifact.File{Path: "outputs/f", Size: -1, Mode: 0o640}
	r := io.MultiReader(bytes.NewReader(content[:w.Large-5]), iotest.ErrReader(errLine))
	if err := w.folder.Put(w.Context(), file, r); !errors.Is(err, errLine) {
		w.Fatalf("cut off: %v", err)
	}
	again := w.Open(w.T).Attempt(w.run, 1)
	var before int64
	if w.Sent != nil {
		before = w.Sent()
	}
	if resumer, ok := again.(artifact.Resumer); ok {
		at, digest, err := resumer.Begun(w.Context(), file.Path)
		w.must(err)
		if want := sha256.Sum256(content[:at]); at == 0 || !bytes.Equal(digest, want[:]) {
			w.Fatalf("%d bytes begun, with digest %x", at, digest)
		}
		w.must(resumer.PutRest(w.Context(), file, at, bytes.NewReader(content[at:])))
	} else {
		w.must(again.Put(w.Context(), file, bytes.NewReader(content)))
	}
	if w.Sent != nil {
		if sent := w.Sent() - before; sent > w.Large/2 {
			w.Errorf("%d of %d bytes were sent again", sent, w.Large)
		}
	}
	if readFrom(w, again, file.Path) != string(content) {
		w.Error("other bytes")
	}
	w.must(again.Settle(w.Context()))
	w.must(w.folder.Remove(w.Context(), file.Path))
	w.expect()
}

// canceled: an ended context ends a Put, soon, and nothing is there.
func canceled(w *world) {
	ctx, cancel := context.WithCancel(w.Context())
	r, feed := io.Pipe()
	stored := make(chan error, 1)
	go func() {
		err := w.folder.Put(ctx, artifact.File{Path: "outputs/f", Size: -1, Mode: 0o600}, r)
		_ = r.CloseWithError(err) // always nil
		stored <- err
	}()
	if _, err := feed.Write([]byte("some")); err != nil {
		w.Fatal(err)
	}
	cancel()
	_, _ = feed.Write([]byte("more")) // it may have ended
	_ = feed.CloseWithError(errLine)  // always nil
	select {
	case err := <-stored:
		if err == nil {
			w.Error("it was stored")
		}
	case <-time.After(time.Minute):
		w.Fatal("it goes on")
	}
	w.expect()
	if _, err := w.folder.List(ctx); !errors.Is(err, context.Canceled) {
		w.Errorf("List: %v", err)
	}
}

func digestsKnown(w *world) {
	content := string(random(w.Large))
	w.put("outputs/f", content)
	want := sha256.Sum256([]byte(content))
	for _, folder := range []artifact.Folder{w.folder, w.Open(w.T).Attempt(w.run, 1)} {
		got, err := folder.Digest(w.Context(), "outputs/f")
		w.must(err)
		if !bytes.Equal(got, want[:]) {
			w.Errorf("digest %x", got)
		}
		files, err := folder.List(w.Context())
		w.must(err)
		if len(files) != 1 || !bytes.Equal(files[0].Digest, want[:]) {
			w.Errorf("listed as %+v", files)
		}
	}
	w.put("outputs/f", "other")
	got, err := w.folder.Digest(w.Context(), "outputs/f")
	w.must(err)
	if want := sha256.Sum256([]byte("other")); !bytes.Equal(got, want[:]) {
		w.Error("an old digest")
	}
	if _, err := w.folder.Digest(w.Context(), "outputs/none"); !errors.Is(err, fs.ErrNotExist) {
		w.Errorf("digest of nothing: %v", err)
	}
}

// unchanged: size and time say that a file need not be sent again.
func unchanged(w *world) {
	at := time.Now().Add(-time.Minute).Add(123456789 * time.Nanosecond)
	w.must(w.folder.Put(w.Context(), artifact.File{Path: "outputs/f", Size: 3, Mode: 0o600, Modified: at}, strings.NewReader("abc")))
	for _, folder := range []artifact.Folder{w.folder, w.Open(w.T).Attempt(w.run, 1)} {
		f, err := folder.Stat(w.Context(), "outputs/f")
		w.must(err)
		if f.Size != 3 || !f.Modified.Equal(at) {
			w.Errorf("%d bytes of %s, want 3 of %s", f.Size, f.Modified, at)
		}
	}
	w.put("outputs/f", "abc")
	if f, err := w.folder.Stat(w.Context(), "outputs/f"); err != nil || f.Modified.Equal(at) {
		w.Errorf("the time of what it was before: %+v, %v", f, err)
	}
}

func remove(w *world) {
	w.put("outputs/d/a", "a")
	w.put("outputs/d/b", "b")
	w.must(w.folder.Link(w.Context(), "outputs/l", "d/a"))
	w.must(w.folder.Mkdir(w.Context(), "outputs/e"))
	for _, name := range []string{"outputs/d/a", "outputs/l", "outputs/e", "outputs/none", "outputs/no/such/file"} {
		w.must(w.folder.Remove(w.Context(), name))
	}
	w.expect("outputs/d/b 1")
	if _, err := w.folder.Stat(w.Context(), "outputs/d/a"); !errors.Is(err, fs.ErrNotExist) {
		w.Errorf("what was removed: %v", err)
	}
	w.must(w.folder.Remove(w.Context(), "outputs/d/b"))
	w.expect()
}

func runs(w *world) {
	other := w.run + "-other"
	w.put("outputs/f", "12345")
	w.must(w.store.Attempt(w.run, 2).Put(w.Context(), artifact.File{Path: "logs/l", Size: 2, Mode: 0o600}, strings.NewReader("67")))
	w.must(w.store.Checkpoint(w.run).Put(w.Context(), artifact.File{Path: "checkpoint/c", Size: 3, Mode: 0o600}, strings.NewReader("890")))
	w.must(w.store.Attempt(other, 1).Put(w.Context(), artifact.File{Path: "outputs/f", Size: 1, Mode: 0o600}, strings.NewReader("x")))
	size, err := w.store.Size(w.Context(), w.run)
	w.must(err)
	if size < 10 {
		w.Errorf("%d bytes of 10", size)
	}
	all, err := w.store.Runs(w.Context())
	w.must(err)
	for _, run := range []string{w.run, other} {
		if !contains(all, run) {
			w.Errorf("%s is not among %q", run, all)
		}
	}
	w.must(w.store.Delete(w.Context(), w.run))
	w.must(w.store.Delete(w.Context(), w.run))
	if all, err = w.store.Runs(w.Context()); err != nil || contains(all, w.run) || !contains(all, other) {
		w.Errorf("after one was deleted: %q, %v", all, err)
	}
	w.expect()
	if diff := cmp.Diff([]string{"outputs/f 1"}, listing(w, w.store.Attempt(other, 1))); diff != "" {
		w.Error(diff)
	}
	w.must(w.store.Delete(w.Context(), other))
}

func contains(all []string, one string) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

func checkpoints(w *world) {
	c := w.store.Checkpoint(w.run)
	w.must(c.Put(w.Context(), artifact.File{Path: "checkpoint/epoch-1/weights", Size: 1, Mode: 0o600}, strings.NewReader("1")))
	w.must(c.Link(w.Context(), "checkpoint/latest", "epoch-1"))
	var leads *artifact.LinkError
	if err := c.Link(w.Context(), "checkpoint/out", "../outputs"); !errors.As(err, &leads) {
		w.Errorf("a link out: %v", err)
	}
	var bad *artifact.NameError
	if err := c.Put(w.Context(), artifact.File{Path: "outputs/f"}, strings.NewReader("")); !errors.As(err, &bad) {
		w.Errorf("outputs/ in it: %v", err)
	}
	w.must(c.Settle(w.Context()))
	w.put("outputs/f", "x")
	if diff := cmp.Diff([]string{"checkpoint/epoch-1/weights 1", "checkpoint/latest -> epoch-1"}, listing(w, c)); diff != "" {
		w.Error(diff)
	}
	w.expect("outputs/f 1")
}

func nothing(w *world) {
	w.expect()
	if _, err := w.folder.Open(w.Context(), "outputs/f"); !errors.Is(err, fs.ErrNotExist) {
		w.Errorf("Open: %v", err)
	}
	if _, err := w.folder.Stat(w.Context(), "outputs/f"); !errors.Is(err, fs.ErrNotExist) {
		w.Errorf("Stat: %v", err)
	}
	w.must(w.folder.Remove(w.Context(), "outputs/f"))
	w.must(w.folder.Settle(w.Context()))
	w.must(w.store.Delete(w.Context(), w.run))
	if size, err := w.store.Size(w.Context(), w.run); size != 0 || err != nil {
		w.Errorf("%d bytes, %v", size, err)
	}
}

func settleTwice(w *world) {
	w.put("outputs/a", "1")
	w.must(w.folder.Settle(w.Context()))
	w.put("outputs/b", "2")
	w.must(w.folder.Settle(w.Context()))
	w.must(w.folder.Settle(w.Context()))
	w.expect("outputs/a 1", "outputs/b 1")
}
