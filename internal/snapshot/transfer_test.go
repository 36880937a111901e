package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
	must(t, from.Export(t.Context(), &b, id, want))
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
	must(t, here.Export(t.Context(), &stream, snap.ID, []snapshot.Digest{m.Entries[1].Digest}))
	_, err = there.Import(t.Context(), &stream)
	var missing *snapshot.MissingError
	if !errors.As(err, &missing) || missing.Blobs != 2 {
		t.Fatalf("error %v, want 2 missing blobs", err)
	}
	left, err := there.Missing(t.Context(), m)
	must(t, err)
	same(t, "still missing", []snapshot.Digest{m.Entries[0].Digest, m.Entries[2].Digest}, left)
	if err := here.Export(t.Context(), io.Discard, snap.ID, []snapshot.Digest{{1}}); err == nil {
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
