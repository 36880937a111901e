// Package artifacttest is what every artifact.Store must do, told as tests. A
// store is one when the suite passes against the real thing.
package artifacttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/artifact"
)

// Subject is the store under test.
type Subject struct {
	// Open gives the store anew: another agent's view of the same things.
	Open func(t *testing.T) artifact.Store
	// Large is the size of a file that is more than one piece on its way.
	Large int64
	// Many files that are listed.
	Many int
	// Sent is how many bytes the store was sent; nil: nobody counts.
	Sent func() int64
	// Stray names what lies in the store and belongs to no file.
	Stray func(t *testing.T) []string
}

// Suite tests a store. Each case has runs of its own.
func Suite(t *testing.T, s Subject) {
	for _, c := range []struct {
		name string
		run  func(*world)
	}{
		{"put, list, stat, open", basics},
		{"odd names", oddNames},
		{"names that are refused", badNames},
		{"names that differ only in case", caseClash},
		{"a large file", large},
		{"ranges", ranges},
		{"many files", many},
		{"links", links},
		{"empty directories", directories},
		{"replace", replace},
		{"one name from many", sameName},
		{"too short, too long", wrongSize},
		{"cut in the middle", cutInTheMiddle},
		{"cut and gone on with", goOn},
		{"canceled", canceled},
		{"digests", digestsKnown},
		{"what has not changed can be told", unchanged},
		{"remove", remove},
		{"runs, sizes, delete", runs},
		{"checkpoints", checkpoints},
		{"nothing there", nothing},
		{"settle twice", settleTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, Subject: s, run: fmt.Sprintf("suite-%08x", rand.Uint32())}
			w.store = s.Open(t)
			w.folder = w.store.Attempt(w.run, 1)
			t.Cleanup(func() {
				if err := s.Open(t).Delete(context.WithoutCancel(t.Context()), w.run); err != nil {
					t.Error(err)
				}
				if s.Stray != nil {
					if stray := s.Stray(t); len(stray) > 0 {
						t.Errorf("what is left after the run was deleted: %q", stray)
					}
				}
			})
			c.run(w)
		})
	}
}

// world is one case.
type world struct {
	*testing.T
	Subject
	run    string
	store  artifact.Store
	folder artifact.Folder
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(name, content string) {
	w.Helper()
	w.must(w.folder.Put(w.Context(), artifact.File{Path: name, Size: int64(len(content)), Mode: 0o600}, strings.NewReader(content)))
}

func (w *world) read(name string) string {
	w.Helper()
	return readFrom(w, w.folder, name)
}

func readFrom(w *world, f artifact.Folder, name string) string {
	w.Helper()
	r, err := f.Open(w.Context(), name)
	w.must(err)
	data, err := io.ReadAll(r)
	w.must(errors.Join(err, r.Close()))
	return string(data)
}

// listing has a line for each thing: "path size", "path/", "path -> target",
// and a star for what can be executed.
func listing(w *world, f artifact.Folder) []string {
	w.Helper()
	files, err := f.List(w.Context())
	w.must(err)
	lines := []string{}
	for _, file := range files {
		lines = append(lines, line(file))
	}
	return lines
}

func line(f artifact.File) string {
	switch {
	case f.Dir:
		return f.Path + "/"
	case f.Link != "":
		return f.Path + " -> " + f.Link
	case f.Mode.Perm()&0o100 != 0:
		return fmt.Sprintf("%s %d *", f.Path, f.Size)
	default:
		return fmt.Sprintf("%s %d", f.Path, f.Size)
	}
}

func (w *world) expect(want ...string) {
	w.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, listing(w, w.folder)); diff != "" {
		w.Errorf("the folder (-want +got):\n%s", diff)
	}
}

// random content that no store can make smaller.
func random(n int64) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = source.Read(data) // never fails
	return data
}

func basics(w *world) {
	modified := time.Now().Add(-time.Hour).Truncate(time.Second)
	w.must(w.folder.Put(w.Context(), artifact.File{Path: "outputs/a/model.bin", Size: 5, Mode: 0o755, Modified: modified}, strings.NewReader("model")))
	w.must(w.folder.Put(w.Context(), artifact.File{Path: "logs/std_log.txt", Size: -1, Mode: 0o640}, strings.NewReader("line\n")))
	w.put("outputs/nothing", "")
	w.must(w.folder.Settle(w.Context()))
	for _, folder := range []artifact.Folder{w.folder, w.Open(w.T).Attempt(w.run, 1)} {
		if diff := cmp.Diff([]string{"logs/std_log.txt 5", "outputs/a/model.bin 5 *", "outputs/nothing 0"}, listing(w, folder)); diff != "" {
			w.Error(diff)
		}
		if got := readFrom(w, folder, "outputs/a/model.bin"); got != "model" {
			w.Errorf("content %q", got)
		}
		if got := readFrom(w, folder, "outputs/nothing"); got != "" {
			w.Errorf("content %q", got)
		}
		f, err := folder.Stat(w.Context(), "outputs/a/model.bin")
		w.must(err)
		if f.Path != "outputs/a/model.bin" || f.Size != 5 || f.Mode.Perm() != 0o755 || !f.Mode.IsRegular() || !f.Modified.Equal(modified) {
			w.Errorf("stat says %+v", f)
		}
	}
	if got := listing(w, w.store.Attempt(w.run, 2)); len(got) > 0 {
		w.Errorf("another attempt has %q", got)
	}
}

func oddNames(w *world) {
	names := []string{
		"outputs/with space", "outputs/\"quoted\" 'twice'", "outputs/ünïcode/日本", "outputs/-rf", "outputs/a%20b", "outputs/a+b&c=d?e#f",
		"outputs/new\nline", "outputs/back\\slash", "outputs/trailing.", "outputs/" + strings.Repeat("n", 200), "outputs/.hidden", "outputs/$(id)",
		"outputs/e\u0301", "outputs/\u00e9", "outputs/not\xffutf8",
	}
	for i, name := range names {
		w.put(name, fmt.Sprint(i))
	}
	w.must(w.folder.Settle(w.Context()))
	for i, name := range names {
		if got := w.read(name); got != fmt.Sprint(i) {
			w.Errorf("%q holds %q, want %d", name, got, i)
		}
	}
	if got := listing(w, w.folder); len(got) != len(names) {
		w.Errorf("%d of %d names: %q", len(got), len(names), got)
	}
}

func badNames(w *world) {
	for _, name := range []string{
		"", ".", "..", "/", "/etc/passwd", "other/file", "outputs/../x", "outputs//x", "outputs/./x", "outputs/", "../outputs/x", "outputs/a\x00b", "Outputs/x",
		"checkpoint/x",
	} {
		_, openErr := w.folder.Open(w.Context(), name)
		_, statErr := w.folder.Stat(w.Context(), name)
		for verb, err := range map[string]error{
			"Put":    w.folder.Put(w.Context(), artifact.File{Path: name, Size: 0}, strings.NewReader("")),
			"Mkdir":  w.folder.Mkdir(w.Context(), name),
			"Link":   w.folder.Link(w.Context(), name, "x"),
			"Remove": w.folder.Remove(w.Context(), name),
			"Open":   openErr, "Stat": statErr,
		} {
			if _, ok := errors.AsType[*artifact.NameError](err); !ok {
				w.Errorf("%s(%q): %v", verb, name, err)
			}
		}
	}
	w.expect()
}

func caseClash(w *world) {
	w.put("outputs/Model", "upper")
	w.put("outputs/model", "lower")
	w.expect("outputs/Model 5", "outputs/model 5")
	if w.read("outputs/Model") != "upper" || w.read("outputs/model") != "lower" {
		w.Error("one took the other's place")
	}
}

func large(w *world) {
	content := random(w.Large)
	for _, size := range []int64{w.Large, -1} {
		w.must(w.folder.Put(w.Context(), artifact.File{Path: "outputs/large", Size: size, Mode: 0o600}, bytes.NewReader(content)))
		r, err := w.folder.Open(w.Context(), "outputs/large")
		w.must(err)
		sum := sha256.New()
		n, err := io.Copy(sum, r)
		w.must(errors.Join(err, r.Close()))
		if want := sha256.Sum256(content); n != w.Large || !bytes.Equal(sum.Sum(nil), want[:]) {
			w.Errorf("%d bytes came back, or others", n)
		}
	}
}

func ranges(w *world) {
	content := random(1<<20 + 7)
	w.must(w.folder.Put(w.Context(), artifact.File{Path: "outputs/f", Size: -1, Mode: 0o600}, bytes.NewReader(content)))
	r, err := w.folder.Open(w.Context(), "outputs/f")
	w.must(err)
	defer func() { w.must(r.Close()) }()
	if got := r.File(); got.Size != int64(len(content)) || got.Path != "outputs/f" {
		w.Errorf("opened %+v", got)
	}
	for _, c := range []struct{ at, size int64 }{{0, 10}, {1 << 20, 7}, {17, 1 << 19}, {1<<20 + 6, 1}} {
		part := make([]byte, c.size)
		if n, err := r.ReadAt(part, c.at); int64(n) != c.size || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(part, content[c.at:c.at+c.size]) {
			w.Errorf("ReadAt %d, %d: %d bytes, %v", c.at, c.size, n, err)
		}
		if at, err := r.Seek(c.at, io.SeekStart); at != c.at || err != nil {
			w.Errorf("Seek %d: %d, %v", c.at, at, err)
		}
		if _, err := io.ReadFull(r, part); err != nil || !bytes.Equal(part, content[c.at:c.at+c.size]) {
			w.Errorf("read from %d: %v", c.at, err)
		}
	}
	if at, err := r.Seek(0, io.SeekEnd); at != int64(len(content)) || err != nil {
		w.Errorf("the end is at %d, %v", at, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		w.Errorf("after the end: %d bytes, %v", n, err)
	}
	if n, err := r.ReadAt(make([]byte, 10), 1<<20); n != 7 || !errors.Is(err, io.EOF) {
		w.Errorf("over the end: %d bytes, %v", n, err)
	}
}

func many(w *world) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				content := fmt.Sprint(i)
				file := artifact.File{Path: fmt.Sprintf("outputs/%d/%d", i%7, i), Size: int64(len(content)), Mode: 0o600}
				if err := w.folder.Put(w.Context(), file, strings.NewReader(content)); err != nil {
					w.Error(err)
				}
			}
		})
	}
	for i := range w.Many {
		next <- i
	}
	close(next)
	group.Wait()
	w.must(w.folder.Settle(w.Context()))
	files, err := w.Open(w.T).Attempt(w.run, 1).List(w.Context())
	w.must(err)
	if len(files) != w.Many {
		w.Errorf("%d of %d files", len(files), w.Many)
	}
	last := ""
	for _, f := range files {
		if f.Path <= last {
			w.Errorf("%q comes after %q", f.Path, last)
		}
		last = f.Path
	}
}

func links(w *world) {
	w.put("outputs/real", "content")
	w.must(w.folder.Link(w.Context(), "outputs/link", "real"))
	w.must(w.folder.Link(w.Context(), "outputs/d/link", "../real"))
	w.must(w.folder.Link(w.Context(), "outputs/dangling", "nowhere"))
	w.must(w.folder.Link(w.Context(), "outputs/over", "../logs/x"))
	for _, target := range []string{"/etc/passwd", "../../x", "..", "", "../checkpoint/x"} {
		var leads *artifact.LinkError
		if err := w.folder.Link(w.Context(), "outputs/out", target); !errors.As(err, &leads) {
			w.Errorf("a link to %q: %v", target, err)
		}
	}
	w.expect("outputs/d/link -> ../real", "outputs/dangling -> nowhere", "outputs/link -> real", "outputs/over -> ../logs/x", "outputs/real 7")
	if got := w.read("outputs/d/link"); got != "content" {
		w.Errorf("through a link: %q", got)
	}
	if _, err := w.folder.Open(w.Context(), "outputs/dangling"); !errors.Is(err, fs.ErrNotExist) {
		w.Errorf("a link to nothing: %v", err)
	}
	if f, err := w.folder.Stat(w.Context(), "outputs/link"); err != nil || f.Link != "real" {
		w.Errorf("stat of a link: %+v, %v", f, err)
	}
	w.must(w.folder.Link(w.Context(), "outputs/round", "round"))
	if _, err := w.folder.Open(w.Context(), "outputs/round"); err == nil {
		w.Error("a link to itself was opened")
	}
}

func directories(w *world) {
	w.must(w.folder.Mkdir(w.Context(), "outputs/empty/inside"))
	w.must(w.folder.Mkdir(w.Context(), "outputs/empty/inside"))
	w.must(w.folder.Mkdir(w.Context(), "outputs/full"))
	w.put("outputs/full/f", "x")
	w.expect("outputs/empty/inside/", "outputs/full/f 1")
	if _, err := w.folder.Open(w.Context(), "outputs/empty/inside"); err == nil {
		w.Error("a directory was opened as a file")
	}
}

func replace(w *world) {
	w.put("outputs/f", "first")
	w.put("outputs/f", "second, and longer")
	w.put("outputs/f", "3rd")
	if got := w.read("outputs/f"); got != "3rd" {
		w.Errorf("holds %q", got)
	}
	w.must(w.folder.Link(w.Context(), "outputs/f", "g"))
	w.expect("outputs/f -> g")
	w.put("outputs/f", "a file again")
	w.expect("outputs/f 12")
	if got := w.read("outputs/f"); got != "a file again" {
		w.Errorf("holds %q", got)
	}
}
