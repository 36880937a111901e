package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func file(path, content string) Entry {
	return Entry{Path: path, Kind: KindFile, Mode: 0o644, Size: int64(len(content)), Digest: sha256.Sum256([]byte(content))}
}

func dir(path string) Entry { return Entry{Path: path, Kind: KindDir, Mode: 0o755} }

func link(path, target string) Entry { return Entry{Path: path, Kind: KindLink, Target: target} }

func sized(e Entry, size int64) Entry { e.Size = size; return e }

func moded(e Entry, mode uint32) Entry { e.Mode = mode; return e }

func TestManifestKeepsEverything(t *testing.T) {
	entries := []Entry{
		file("a", "1"), dir("b"), file("b/c", ""), link("b/l", "../a"), file("b-", "2"), file("c\xff\n", "3"), link("d", "nowhere"),
	}
	m, err := decodeManifest(encodeManifest(entries))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, m.Entries); diff != "" {
		t.Error(diff)
	}
}

// hostileManifests are lists of entries that must never be unpacked.
func hostileManifests() map[string][]Entry {
	return map[string][]Entry{
		"up":                    {file("../x", "")},
		"up in the middle":      {dir("a"), file("a/../../x", "")},
		"absolute":              {file("/etc/x", "")},
		"dot":                   {file(".", "")},
		"dot in the middle":     {dir("a"), file("a/./x", "")},
		"empty path":            {file("", "")},
		"empty part":            {dir("a"), file("a//x", "")},
		"trailing slash":        {dir("a/")},
		"NUL":                   {file("a\x00b", "")},
		"long path":             {file(strings.Repeat("x", maxPath+1), "")},
		"twice":                 {file("a", "1"), file("a", "2")},
		"file and directory":    {file("a", "1"), dir("a")},
		"out of order":          {file("b", ""), file("a", "")},
		"no directory":          {file("a/b", "")},
		"no directory in depth": {dir("a"), file("a/b/c", "")},
		"beneath a file":        {file("a", "1"), file("a/b", "")},
		"beneath a link":        {dir("x"), link("y", "x"), file("y/b", "")},
		"link, then file of it": {link("a", "/etc"), file("a/passwd", "x")},
		"link out":              {link("a", "/etc/passwd")},
		"link up":               {link("a", "../x")},
		"link out by a link":    {dir("d"), link("d/l", ".."), link("x", "d/l/../y")},
		"empty link":            {link("a", "")},
		"link with NUL":         {link("a", "b\x00c")},
		"odd mode":              {moded(file("a", ""), 0o4755)},
		"huge size":             {sized(file("a", "x"), maxFileSize+1)},
		"huge sum":              {sized(file("a", "x"), maxFileSize), sized(file("b", "y"), maxFileSize)},
		"size without content":  {sized(file("a", ""), 5)},
		"content without size":  {sized(file("a", "x"), 0)},
		"two sizes":             {file("a", "x"), sized(file("b", "x"), 2)},
		"unknown kind":          {{Path: "a", Kind: 'x'}},
	}
}

func TestManifestRefusesWhatCouldHurt(t *testing.T) {
	for name, entries := range hostileManifests() {
		t.Run(name, func(t *testing.T) {
			if m, err := decodeManifest(encodeManifest(entries)); err == nil {
				t.Errorf("accepted: %+v", m.Entries)
			}
		})
	}
}

func TestManifestRefusesDamage(t *testing.T) {
	entries := []Entry{dir("a"), file("a/b", "content"), link("c", "a/b")}
	good := encodeManifest(entries)
	whole := make(map[int]bool) // lengths after an entry: a shorter manifest, but a manifest
	for i := range entries {
		whole[len(encodeManifest(entries[:i]))] = true
	}
	for n := range len(good) {
		if _, err := decodeManifest(good[:n]); (err == nil) != whole[n] {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	for name, data := range map[string][]byte{
		"longer":            append([]byte(string(good)), 0),
		"long form numbers": []byte(manifestMagic + "d\x81\x00a\xed\x03"),
		"huge length":       []byte(manifestMagic + "d\xff\xff\xff\xff\xff\xff\xff\xff\x7fa"),
		"other version":     []byte("runner-manifest 2\n"),
	} {
		if _, err := decodeManifest(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestUnpackStaysInside stores hostile manifests as if a bug had let them in,
// and checks that unpacking them is refused and writes nothing.
func TestUnpackStaysInside(t *testing.T) {
	for name, entries := range hostileManifests() {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			s, err := Open(filepath.Join(work, "objects"))
			if err != nil {
				t.Fatal(err)
			}
			data := encodeManifest(entries)
			id := idOf(sha256.Sum256(data))
			packed, err := s.codec.pack(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.dirs.manifest(id), packed, 0o600); err != nil {
				t.Fatal(err)
			}
			err = s.Unpack(t.Context(), id, filepath.Join(work, "deep", "out"), nil)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Errorf("error %v, want a CorruptError", err)
			}
			for _, path := range []string{"deep", "x"} {
				if _, err := os.Lstat(filepath.Join(work, path)); err == nil {
					t.Errorf("%s was made", path)
				}
			}
		})
	}
}

// TestUnpackingStaysInsideByItself skips even the check: the os.Root must hold.
func TestUnpackingStaysInsideByItself(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"up":             {file("../x", "")},
		"absolute":       {file("/../x", "")},
		"through a link": {link("l", ".."), file("l/x", "")},
	} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			out := filepath.Join(work, "out")
			if err := os.Mkdir(out, 0o700); err != nil {
				t.Fatal(err)
			}
			if name == "through a link" {
				if err := os.Symlink("..", filepath.Join(out, "l")); err != nil {
					t.Fatal(err)
				}
			}
			u := &unpacking{entries: entries}
			if err := u.run(t.Context(), out); err == nil {
				t.Error("no error")
			}
			if _, err := os.Lstat(filepath.Join(work, "x")); err == nil {
				t.Error("wrote outside")
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(encodeManifest([]Entry{dir("a"), file("a/b", "content"), link("c", "a/b")}))
	for _, entries := range hostileManifests() {
		f.Add(encodeManifest(entries))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		if got := encodeManifest(m.Entries); string(got) != string(data) {
			t.Errorf("%q was accepted but reads %q", data, got)
		}
		for _, e := range m.Entries {
			if !filepath.IsLocal(e.Path) || filepath.Clean(e.Path) != e.Path {
				t.Errorf("path %q is not plain", e.Path)
			}
		}
	})
}

func FuzzCache(f *testing.F) {
	tree := &dirNode{nodes: []node{{name: "a", kind: KindFile}, {name: "l", kind: KindLink, target: "a"}, {name: "d", kind: KindDir, dir: &dirNode{path: "d"}}}}
	good := encodeCache("/src", 1, "sha256:0", []string{"p"}, appendDirs(nil, tree, time.Now()))
	f.Add(good[len(cacheMagic) : len(good)-4])
	f.Fuzz(func(_ *testing.T, body []byte) {
		data := append([]byte(cacheMagic), body...) // with a checksum that fits, or nothing is tried
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
		c, err := decodeCache(data)
		if err != nil {
			return
		}
		for _, d := range c.dirs {
			r := cacheReader{s: d.data}
			for n := (node{}); r.s != ""; {
				r.node(&n)
			}
		}
	})
}

func FuzzPackIndex(f *testing.F) {
	blobs := []packBlob{{digest: sha256.Sum256([]byte("x")), size: 1, chunks: []chunk{{off: 14, stored: 1, raw: 1}}}}
	f.Add(encodeIndex(blobs, 15))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) < indexHeader+trailerSize {
			return
		}
		x, err := decodeIndex(data[:len(data)-trailerSize], 1<<30)
		if err != nil {
			return
		}
		for i := range x.len() {
			x.find(x.record(i).digest)
		}
	})
}
