package artifact

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// What came of a large file before a cut is kept out of sight, and the rest is
// enough.
func TestPutRest(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789abcdef"), 3*worthKeeping/16)
	const came = 2*worthKeeping + 5
	for name, c := range map[string]struct {
		before func(t *testing.T, dir string) *Directory
		begun  int64
	}{
		"the line broke": {func(t *testing.T, dir string) *Directory {
			d := OpenDirectory(dir)
			broken := errors.New("the line broke")
			r := io.MultiReader(bytes.NewReader(whole[:came]), iotest.ErrReader(broken))
			if err := d.Put(t.Context(), File{Path: "outputs/f", Mode: 0o600, Size: -1}, r); !errors.Is(err, broken) {
				t.Errorf("error %v", err)
			}
			return d
		}, came},
		"killed": {func(t *testing.T, dir string) *Directory {
			tree(t, dir, map[string]string{temporaryName("outputs/f"): string(whole[:came])})
			return OpenDirectory(dir)
		}, came},
		"killed twice, the first time later": {func(t *testing.T, dir string) *Directory {
			tree(t, dir, map[string]string{
				temporaryName("outputs/f"): string(whole[:worthKeeping]), partName("outputs/f"): string(whole[:came]),
			})
			return OpenDirectory(dir)
		}, came},
		"a little of it": {func(t *testing.T, dir string) *Directory {
			tree(t, dir, map[string]string{temporaryName("outputs/f"): string(whole[:worthKeeping-1])})
			return OpenDirectory(dir)
		}, 0},
		"of another file": {func(t *testing.T, dir string) *Directory {
			tree(t, dir, map[string]string{temporaryName("outputs/g"): string(whole[:came])})
			return OpenDirectory(dir)
		}, 0},
		"none": {func(_ *testing.T, dir string) *Directory { return OpenDirectory(dir) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := c.before(t, dir)
			size, digest, err := d.Begun(t.Context(), "outputs/f")
			if err != nil || size != c.begun {
				t.Fatalf("%d bytes begun, want %d, %v", size, c.begun, err)
			}
			if got := names(t, d); got != nil {
				t.Errorf("visible: %q", got)
			}
			if size == 0 {
				if err := d.PutRest(t.Context(), File{Path: "outputs/f", Mode: 0o640, Size: -1}, came, bytes.NewReader(whole[came:])); err == nil {
					t.Error("the rest of nothing was stored")
				}
				return
			}
			if want := sha256.Sum256(whole[:size]); !bytes.Equal(digest, want[:]) {
				t.Error("digest")
			}
			if err := d.PutRest(t.Context(), File{Path: "outputs/f", Mode: 0o640, Size: -1}, size, bytes.NewReader(whole[size:])); err != nil {
				t.Fatal(err)
			}
			if read(t, d, "outputs/f") != string(whole) {
				t.Error("content")
			}
			if err := d.Settle(t.Context()); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"outputs", "outputs/f"}, everything(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A rest that does not follow on what is kept makes no file.
func TestPutRestOfAnother(t *testing.T) {
	d := OpenDirectory(tree(t, t.TempDir(), map[string]string{partName("outputs/f"): strings.Repeat("x", worthKeeping)}))
	if err := d.PutRest(t.Context(), File{Path: "outputs/f", Mode: 0o600, Size: -1}, 7, strings.NewReader("rest")); !errors.Is(err, errOtherPart) {
		t.Errorf("error %v", err)
	}
	if got := names(t, d); got != nil {
		t.Errorf("there is %q", got)
	}
}

// What another uses is not taken for what a crash left.
func TestRoomInUse(t *testing.T) {
	dir := t.TempDir()
	first, second := OpenDirectory(dir), OpenDirectory(dir)
	r, w := io.Pipe()
	stored := make(chan error, 1)
	go func() { stored <- first.Put(t.Context(), File{Path: "outputs/f", Mode: 0o600, Size: -1}, r) }()
	big := strings.Repeat("x", worthKeeping)
	if _, err := io.WriteString(w, big); err != nil {
		t.Fatal(err)
	}
	if size, _, err := second.Begun(t.Context(), "outputs/f"); size != 0 || err != nil {
		t.Errorf("%d bytes begun, %v", size, err)
	}
	for _, err := range []error{
		second.Put(t.Context(), File{Path: "outputs/f", Mode: 0o600, Size: -1}, strings.NewReader("second")),
		second.Settle(t.Context()),
		w.Close(),
		<-stored,
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if read(t, first, "outputs/f") != big {
		t.Error("not what came last")
	}
	if _, err := os.Lstat(filepath.Join(dir, incoming)); err == nil {
		t.Errorf("%s stays", incoming)
	}
}

// With a digest, only what has it becomes visible, and what has not is no part
// to go on from.
func TestPutDigest(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789abcdef"), 2*worthKeeping/16)
	sum := sha256.Sum256(whole)
	flipped := bytes.Clone(whole)
	flipped[worthKeeping/2] ^= 1
	file := File{Path: "outputs/f", Mode: 0o600, Size: int64(len(whole)), Digest: sum[:]}
	const came = worthKeeping + 5
	for name, c := range map[string]struct {
		begun, sent []byte
		want        error
	}{
		"right":                           {nil, whole, nil},
		"a bit flipped":                   {nil, flipped, ErrCorrupt},
		"the rest of it":                  {whole[:came], whole[came:], nil},
		"the rest, the beginning flipped": {flipped[:came], whole[came:], ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := OpenDirectory(dir)
			put := func() error { return d.Put(t.Context(), file, bytes.NewReader(c.sent)) }
			if c.begun != nil {
				tree(t, dir, map[string]string{temporaryName("outputs/f"): string(c.begun)})
				at, _, err := d.Begun(t.Context(), "outputs/f")
				if err != nil || at != came {
					t.Fatalf("%d bytes begun, %v", at, err)
				}
				put = func() error { return d.PutRest(t.Context(), file, at, bytes.NewReader(c.sent)) }
			}
			if err := put(); !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			_, err := os.Stat(filepath.Join(dir, "outputs/f"))
			if visible := err == nil; visible != (c.want == nil) {
				t.Errorf("visible: %t, %v", visible, err)
			}
			if at, _, err := d.Begun(t.Context(), "outputs/f"); at != 0 || err != nil {
				t.Errorf("%d bytes are kept to go on from, %v", at, err)
			}
		})
	}
}
