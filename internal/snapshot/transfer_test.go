package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/snapshot"
)

// transferTree has small, empty, equal and many-chunk files, some of which do
// not shrink.
func transferTree() tree {
	noise := make([]byte, 2_500_000)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise) // never fails
	tr := tree{"empty": "", "d/e/": "", "link": "-> noise", "noise": string(noise), "text": strings.Repeat("line after line\n", 200_000)}
	for i := range 20 {
		tr["d/"+strconv.Itoa(i)] = strconv.Itoa(i / 2)
	}
	return tr
}

func export(t testing.TB, from *snapshot.Store, id snapshot.ID, to *snapshot.Store) []byte {
	t.Helper()
	m, err := from.Manifest(t.Context(), id)
	must(t, err)
	want, err := to.Missing(t.Context(), m)
	must(t, err)
	var b bytes.Buffer
	must(t, from.Export(t.Context(), &b, id, snapshot.Whole(want)))
	return b.Bytes()
}

func TestTransfer(t *testing.T) {
	src := t.TempDir()
	transferTree().write(t, src)
	here, there := newStore(t), newStore(t)
	snap := take(t, here, src)
	id, err := there.Import(t.Context(), bytes.NewReader(export(t, here, snap.ID, there)))
	must(t, err)
	same(t, "ID", snap.ID, id)
	same(t, "unpacked there", read(t, src), unpack(t, there, id))

	tree{"one more": "new content"}.write(t, src)
	next := take(t, here, src)
	delta := export(t, here, next.ID, there)
	if len(delta) > 4000 {
		t.Errorf("one small new file needs %d bytes", len(delta))
	}
	id, err = there.Import(t.Context(), bytes.NewReader(delta))
	must(t, err)
	same(t, "next ID", next.ID, id)
	same(t, "next unpacked there", read(t, src), unpack(t, there, id))

	again := export(t, here, next.ID, there)
	id, err = there.Import(t.Context(), bytes.NewReader(again))
	must(t, err)
	same(t, "ID when nothing is missing", next.ID, id)
}

// TestTransferCut cuts the stream everywhere interesting: each try brings some
// whole blobs, the next one sends only the rest.
func TestTransferCut(t *testing.T) {
	src := t.TempDir()
	transferTree().write(t, src)
	here := newStore(t)
	snap := take(t, here, src)
	thereDir := filepath.Join(t.TempDir(), "there")
	there := openStore(t, thereDir)
	stream := export(t, here, snap.ID, there)
	full := len(stream)
	for tries := 0; ; tries++ {
		if tries > 100 {
			t.Fatal("it never comes to an end")
		}
		cut := min(len(stream), full/3+tries*50_000)
		id, err := there.Import(t.Context(), io.MultiReader(bytes.NewReader(stream[:cut]), failAt(len(stream) > cut)))
		if err == nil {
			same(t, "ID", snap.ID, id)
			break
		}
		if there.Has(snap.ID) {
			t.Fatal("a snapshot of which a part is missing is there")
		}
		there = openStore(t, thereDir)
		next := export(t, here, snap.ID, there)
		if len(next) > len(stream) {
			t.Errorf("after a cut the stream grew from %d to %d bytes", len(stream), len(next))
		}
		stream = next
	}
	same(t, "unpacked", read(t, src), unpack(t, there, snap.ID))
	same(t, "temporary files", 0, countFiles(t, filepath.Join(thereDir, "tmp")))
}

var errCut = errors.New("connection reset")

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func failAt(cut bool) io.Reader {
	if cut {
		return failing{errCut}
	}
	return failing{io.EOF}
}

func countFiles(t testing.TB, dir string) int {
	t.Helper()
	return len(read(t, dir))
}

func TestImportRefuses(t *testing.T) {
	src := t.TempDir()
	tree{"a": strings.Repeat("some content ", 100), "b": "other"}.write(t, src)
	here := newStore(t)
	snap := take(t, here, src)
	good := export(t, here, snap.ID, newStore(t))
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[(at+len(b))%len(b)] ^= 0x40
		return b
	}
	tests := map[string][]byte{
		"nothing":          nil,
		"something else":   []byte("PK\x03\x04 this is a zip file"),
		"only the magic":   good[:16],
		"manifest damaged": flip(30),
		"digest damaged":   flip(-60),
		"end damaged":      flip(-2),
		"count damaged":    flip(-1),
		"cut":              good[:len(good)-5],
		"huge manifest":    append(bytes.Clone(good[:16]), 0xff, 0xff, 0xff, 0x7f, 'x'),
		"endless number":   append(bytes.Clone(good[:16]), bytes.Repeat([]byte{0xff}, 20)...),
	}
	for name, stream := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			_, err := s.Import(t.Context(), bytes.NewReader(stream))
			var bad *snapshot.StreamError
			if !errors.As(err, &bad) {
				t.Errorf("error %v, want a StreamError", err)
			}
			list, err := s.List()
			must(t, err)
			same(t, "snapshots", 0, len(list))
		})
	}
}

func TestImportOfAPartSaysSo(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1", "b": "2", "c": "3"}.write(t, src)
	here, there := newStore(t), newStore(t)
	snap := take(t, here, src)
	m, err := here.Manifest(t.Context(), snap.ID)
	must(t, err)
	var stream bytes.Buffer
	must(t, here.Export(t.Context(), &stream, snap.ID, []snapshot.Want{{Digest: m.Entries[1].Digest}}))
	_, err = there.Import(t.Context(), &stream)
	var missing *snapshot.MissingError
	if !errors.As(err, &missing) || missing.Blobs != 2 {
		t.Fatalf("error %v, want 2 missing blobs", err)
	}
	left, err := there.Missing(t.Context(), m)
	must(t, err)
	same(t, "still missing", []snapshot.Digest{m.Entries[0].Digest, m.Entries[2].Digest}, left)
	if err := here.Export(t.Context(), io.Discard, snap.ID, []snapshot.Want{{Digest: snapshot.Digest{1}}}); err == nil {
		t.Error("exports what is not in the snapshot")
	}
}

func TestManifestTravelsAlone(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1", "d/": "", "l": "-> a"}.write(t, src)
	s := newStore(t)
	snap := take(t, s, src)
	m, err := s.Manifest(t.Context(), snap.ID)
	must(t, err)
	data, err := m.MarshalBinary()
	must(t, err)
	var got snapshot.Manifest
	must(t, got.UnmarshalBinary(data))
	same(t, "manifest", *m, got)
	var d snapshot.Digest
	text, err := m.Entries[0].Digest.MarshalText()
	must(t, err)
	must(t, d.UnmarshalText(text))
	same(t, "digest", m.Entries[0].Digest, d)
}

func FuzzImport(f *testing.F) {
	src := f.TempDir()
	tree{"a": strings.Repeat("some content ", 20), "b": "other", "d/l": "-> ../a"}.write(f, src)
	here := newStore(f)
	snap := take(f, here, src)
	f.Add(export(f, here, snap.ID, newStore(f)))
	there := newStore(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		id, err := there.Import(t.Context(), bytes.NewReader(stream))
		if err != nil {
			return
		}
		unpack(t, there, id)
	})
}

// cutAfter ends a stream in the middle.
func cutAfter(stream []byte, n int) io.Reader { return bytes.NewReader(stream[:n]) }

// What came of one large content is there when the stream is cut in it, is
// checked, and does not come again.
func TestCutInOneLargeFile(t *testing.T) {
	src := t.TempDir()
	const mib = 1 << 20
	content := noise(7, 40*mib)
	tree{"large": content, "small": "1"}.write(t, src)
	here := newStore(t)
	snap := take(t, here, src)
	m, err := here.Manifest(t.Context(), snap.ID)
	must(t, err)
	for name, test := range map[string]struct {
		between func(t *testing.T, dir string) // what happens to the part
		most    int                            // bytes of the second stream
	}{
		"as it was": {func(*testing.T, string) {}, 12 * mib},
		"its last words lost": {func(t *testing.T, dir string) {
			lengths := onlyFile(t, dir, "*.chunks")
			info, err := os.Stat(lengths)
			must(t, err)
			must(t, os.Truncate(lengths, info.Size()-3))
		}, 13 * mib},
		"the file is shorter": {func(t *testing.T, dir string) {
			must(t, os.Truncate(onlyFile(t, dir, "*[0-9a-f]"), 20*mib+5))
		}, 22 * mib},
		"one byte is another": {func(t *testing.T, dir string) {
			f, err := os.OpenFile(onlyFile(t, dir, "*[0-9a-f]"), os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte{1, 2, 3}, 5*mib)
			must(t, errors.Join(err, f.Close()))
		}, 42 * mib},
		"it is gone": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, 42 * mib},
		"another receives it": {func(t *testing.T, dir string) {
			f, err := os.Open(onlyFile(t, dir, "*[0-9a-f]"))
			must(t, err)
			t.Cleanup(func() { must(t, f.Close()) })
			must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		}, 42 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "objects")
			there := openStore(t, dir)
			receive := func(cut int) (sent int, id snapshot.ID, err error) {
				missing, err := there.Missing(t.Context(), m)
				must(t, err)
				r, err := there.Receive(t.Context(), m, missing)
				must(t, err)
				defer r.Close()
				var stream bytes.Buffer
				must(t, here.Export(t.Context(), &stream, snap.ID, r.Wants()))
				sent = stream.Len()
				return sent, m.ID, r.Import(t.Context(), cutAfter(stream.Bytes(), min(cut, sent)))
			}
			var short *snapshot.StreamError
			if _, _, err := receive(30 * mib); !errors.As(err, &short) {
				t.Fatalf("cut: %v", err)
			}
			test.between(t, filepath.Join(dir, "parts"))
			there = openStore(t, dir)
			sent, id, err := receive(100 * mib)
			must(t, err)
			if sent > test.most || sent < test.most-3*mib {
				t.Errorf("%d MiB came the second time, want at most %d", sent/mib, test.most/mib)
			}
			same(t, "ID", snap.ID, id)
			same(t, "content", read(t, src), unpack(t, there, id))
			if left := countFiles(t, filepath.Join(dir, "parts")); left > 0 && name != "another receives it" {
				t.Errorf("%d parts are left", left)
			}
		})
	}
}

func onlyFile(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("found %q", found)
	}
	return found[0]
}

// What nobody goes on with is freed one day.
func TestPruneParts(t *testing.T) {
	src := t.TempDir()
	tree{"large": noise(7, 10<<20)}.write(t, src)
	here := newStore(t)
	snap := take(t, here, src)
	dir := filepath.Join(t.TempDir(), "objects")
	there := openStore(t, dir)
	if _, err := there.Import(t.Context(), cutAfter(export(t, here, snap.ID, there), 9<<20)); err == nil {
		t.Fatal("it was cut")
	}
	if stats := prune(t, there, keepNone, false); stats.Bytes != 0 {
		t.Errorf("too young: %+v", stats)
	}
	part := onlyFile(t, filepath.Join(dir, "parts"), "*[0-9a-f]")
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{part, part + ".chunks"} {
		must(t, os.Chtimes(name, old, old))
	}
	dry := prune(t, there, keepNone, true)
	same(t, "what the dry run foretold", dry, prune(t, there, keepNone, false))
	if dry.Bytes < 8<<20 || countFiles(t, filepath.Join(dir, "parts")) > 0 {
		t.Errorf("%+v", dry)
	}
}
