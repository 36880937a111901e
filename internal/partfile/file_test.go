package partfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var data = bytes.Repeat([]byte("0123456789abcdef"), 64) // 1 KiB

var wanted = Content{ID: "one", Size: int64(len(data)) - 5, Unit: 300}

func open(t *testing.T, to string, c Content) *File {
	t.Helper()
	f, err := Open(to, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it may be closed
	return f
}

// put brings units.
func put(t *testing.T, f *File, units ...int) {
	t.Helper()
	for _, i := range units {
		s := f.Span(i)
		part := data[s.Off : s.Off+s.N]
		if _, err := f.Data().WriteAt(part, s.Off); err != nil {
			t.Fatal(err)
		}
		if err := f.Record(i, Sum(Sum(0, part[:7]), part[7:])); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that was left is gone on with as far as what is there is what was
// written down.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name  string
		units []int
		harm  func(t *testing.T, to string)
		then  Content
		want  []Span // missing
	}{
		{name: "nothing came", then: wanted, want: []Span{{0, 600}, {600, 419}}},
		{name: "some came", units: []int{1, 3}, then: wanted, want: []Span{{0, 300}, {600, 300}}},
		{name: "all came", units: []int{0, 1, 2, 3}, then: wanted},
		{name: "another content", units: []int{1}, then: Content{ID: "two", Size: wanted.Size, Unit: 300}, want: []Span{{0, 600}, {600, 419}}},
		{name: "other units", units: []int{0, 1}, then: Content{ID: "one", Size: wanted.Size, Unit: 500}, want: []Span{{0, 500}, {500, 519}}},
		{name: "the disk has lost one", units: []int{0, 1, 2, 3}, then: wanted, want: []Span{{300, 300}}, harm: func(t *testing.T, to string) {
			f, err := os.OpenFile(Path(to), os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(make([]byte, 10), 310)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a torn journal", units: []int{0, 1}, then: wanted, want: []Span{{600, 419}}, harm: func(t *testing.T, to string) {
			f, err := os.OpenFile(Path(to)+journalSuffix, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.Write([]byte{2, 0, 0})
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no journal any more", units: []int{0}, then: wanted, want: []Span{{0, 600}, {600, 419}}, harm: func(t *testing.T, to string) {
			if err := os.Remove(Path(to) + journalSuffix); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "file")
			f := open(t, to, wanted)
			put(t, f, c.units...)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if c.harm != nil {
				c.harm(t, to)
			}
			f = open(t, to, c.then)
			missing := f.Missing(600)
			if diff := cmp.Diff(c.want, missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
			there := f.Have()
			for _, s := range missing {
				there += s.N
			}
			if there != c.then.Size {
				t.Errorf("there and missing are %d of %d bytes", there, c.then.Size)
			}
			for i := range f.Units() {
				if !f.Has(i) {
					put(t, f, i)
				}
			}
			modified := time.Now().Add(-time.Hour).Truncate(time.Second)
			if err := f.Finish(0o640, modified); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(to)
			if err != nil || !bytes.Equal(got, data[:c.then.Size]) {
				t.Errorf("the content is another one (%v)", err)
			}
			info, err := os.Stat(to)
			if err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(modified) {
				t.Errorf("it is %v, %v", info, err)
			}
			alone(t, to)
		})
	}
}

func alone(t *testing.T, to string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(to))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file: %v, %v", entries, err)
	}
}

// Killed between the move and the journal's end: it has its name, and is whole.
func TestMoved(t *testing.T) {
	for _, spoilt := range []bool{false, true} {
		to := filepath.Join(t.TempDir(), "file")
		f := open(t, to, wanted)
		put(t, f, 0, 1, 2, 3)
		content := data[:wanted.Size]
		if spoilt {
			content = bytes.Clone(content)
			content[5] ^= 1
		}
		if err := errors.Join(f.Close(), os.Remove(Path(to)), os.WriteFile(to, content, 0o600)); err != nil {
			t.Fatal(err)
		}
		f = open(t, to, wanted)
		if f.Moved() == spoilt {
			t.Errorf("spoilt %v: moved %v", spoilt, f.Moved())
		}
		if spoilt {
			if diff := cmp.Diff([]Span{{0, wanted.Size}}, f.Missing(1<<20)); diff != "" {
				t.Errorf("missing of another file with the name:\n%s", diff)
			}
		}
		if err := errors.Join(f.Close(), Remove(to)); err != nil {
			t.Fatal(err)
		}
		alone(t, to)
	}
}

func TestNames(t *testing.T) {
	for _, to := range []string{"x", "a b/\u00fc", strings.Repeat("n", 255)} {
		part := Path(to)
		if base := filepath.Base(part); !Is(base) || !Is(base+journalSuffix) || len(base+journalSuffix) > maxFileName || filepath.Dir(part) != filepath.Dir(to) {
			t.Errorf("%q is %q on its way", to, part)
		}
	}
	if Is("x.ranges") || Is("part") {
		t.Error("other names are taken for ours")
	}
}
