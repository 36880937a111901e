package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// Kind says what an entry of a manifest is.
type Kind byte

// The three things a snapshot can hold.
const (
	KindDir  Kind = 'd'
	KindFile Kind = 'f'
	KindLink Kind = 'l'
)

// Entry is one name in a snapshot.
type Entry struct {
	Path   string // slash-separated, relative, raw bytes: any name the file system allows
	Kind   Kind
	Mode   uint32 // permission bits (0 to 0777) of directories and files; 0 for links
	Size   int64  // bytes, files only
	Digest Digest // content, files only
	Target string // where a link leads, links only
}

// Manifest lists everything in a snapshot. Every directory comes before what
// is in it, and names within one directory are in byte order.
type Manifest struct {
	ID      ID
	Entries []Entry
}

const (
	manifestMagic = "runner-manifest 1\n"
	// maxManifest and maxEntries bound what a hostile manifest can make us hold.
	maxManifest = 128 << 20 // bytes, encoded
	maxEntries  = 1_000_000
	maxPath     = 4095 // the kernel's own limit
	maxFileSize = 1 << 50
	maxMode     = 0o777
)

// encode gives the canonical bytes, whose SHA-256 is the snapshot's ID.
func encodeManifest(entries []Entry) []byte {
	size := len(manifestMagic)
	for i := range entries {
		size += len(entries[i].Path) + len(entries[i].Target) + 48
	}
	b := append(make([]byte, 0, size), manifestMagic...)
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	return b
}

func appendEntry(b []byte, e *Entry) []byte {
	b = append(b, byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(len(e.Path)))
	b = append(b, e.Path...)
	switch e.Kind {
	case KindDir:
		b = binary.AppendUvarint(b, uint64(e.Mode))
	case KindFile:
		b = binary.AppendUvarint(b, uint64(e.Mode))
		b = binary.AppendUvarint(b, uint64(e.Size))
		b = append(b, e.Digest[:]...)
	case KindLink:
		b = binary.AppendUvarint(b, uint64(len(e.Target)))
		b = append(b, e.Target...)
	}
	return b
}

// MarshalBinary gives the canonical bytes, whose SHA-256 is the ID.
func (m *Manifest) MarshalBinary() ([]byte, error) { return encodeManifest(m.Entries), nil }

// UnmarshalBinary reads and checks what MarshalBinary writes, whoever sent it:
// no path leads out, none is there twice, links stay inside.
func (m *Manifest) UnmarshalBinary(data []byte) error {
	decoded, err := decodeManifest(data)
	if err != nil {
		return err
	}
	*m = *decoded
	return nil
}

var errTruncated = errors.New("manifest is cut short")

// decodeManifest reads and checks canonical bytes. What it accepts is safe to
// unpack: see checkEntries.
func decodeManifest(data []byte) (*Manifest, error) {
	entries, err := decodeEntries(data)
	if err != nil {
		return nil, err
	}
	if err := checkEntries(entries); err != nil {
		return nil, err
	}
	if !bytes.Equal(encodeManifest(entries), data) {
		return nil, errors.New("manifest is not in canonical form")
	}
	return &Manifest{ID: idOf(sha256.Sum256(data)), Entries: entries}, nil
}

// decodeEntries reads what encodeManifest wrote, unchecked.
func decodeEntries(data []byte) ([]Entry, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("manifest has %d bytes, more than %d", len(data), maxManifest)
	}
	rest, ok := strings.CutPrefix(string(data), manifestMagic)
	if !ok {
		return nil, errors.New("not a manifest, or of a newer version")
	}
	const meanEntry = 64
	entries := make([]Entry, 0, min(len(rest)/meanEntry+1, maxEntries))
	for len(rest) > 0 {
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("manifest has more than %d entries", maxEntries)
		}
		var e Entry
		var err error
		if e, rest, err = decodeEntry(rest); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(entries), err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// decodeEntry reads the first entry of b, whose memory its texts share.
func decodeEntry(b string) (e Entry, rest string, err error) {
	e.Kind, b = Kind(b[0]), b[1:]
	if e.Path, b, err = decodeText(b); err != nil {
		return e, "", err
	}
	switch e.Kind {
	case KindDir, KindFile:
		var mode uint64
		if mode, b, err = decodeNumber(b, maxMode); err != nil {
			return e, "", err
		}
		e.Mode = uint32(mode)
		if e.Kind == KindDir {
			return e, b, nil
		}
		var size uint64
		if size, b, err = decodeNumber(b, maxFileSize); err != nil {
			return e, "", err
		}
		e.Size = int64(size)
		if len(b) < len(e.Digest) {
			return e, "", errTruncated
		}
		return e, b[copy(e.Digest[:], b):], nil
	case KindLink:
		e.Target, b, err = decodeText(b)
		return e, b, err
	default:
		return e, "", fmt.Errorf("unknown kind %q", byte(e.Kind))
	}
}

func decodeNumber(b string, limit uint64) (uint64, string, error) {
	v, n := uvarint(b)
	if n <= 0 {
		return 0, "", errTruncated
	}
	if v > limit {
		return 0, "", fmt.Errorf("number %d is over the limit of %d", v, limit)
	}
	return v, b[n:], nil
}

// uvarint is binary.Uvarint of a string: the number and how many bytes it has,
// of which there are none when it is cut or too large.
func uvarint(b string) (v uint64, n int) {
	for i := 0; i < len(b) && i < binary.MaxVarintLen64; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i == binary.MaxVarintLen64-1 && b[i] > 1 {
				return 0, 0
			}
			return v, i + 1
		}
	}
	return 0, 0
}

func decodeText(b string) (text, rest string, err error) {
	n, b, err := decodeNumber(b, maxPath)
	if err != nil {
		return "", "", err
	}
	if uint64(len(b)) < n {
		return "", "", errTruncated
	}
	return b[:n], b[n:], nil
}

// Totals counts what a snapshot holds.
type Totals struct {
	Files, Links, Dirs int
	Bytes              int64 // the sizes of all files together
}

// Totals counts what the manifest lists.
func (m *Manifest) Totals() Totals {
	var t Totals
	for i := range m.Entries {
		switch m.Entries[i].Kind {
		case KindDir:
			t.Dirs++
		case KindFile:
			t.Files++
			t.Bytes += m.Entries[i].Size
		case KindLink:
			t.Links++
		}
	}
	return t
}

// Find gives the entry of that path. A caller asks with it, for example,
// whether the script is in the snapshot.
func (m *Manifest) Find(path string) (Entry, bool) {
	i, ok := findEntry(m.Entries, path)
	if !ok {
		return Entry{}, false
	}
	return m.Entries[i], true
}

// sizesOf gives the sizes of these contents.
func (m *Manifest) sizesOf(list []Digest) map[Digest]int64 {
	const unknown = -1
	sizes := make(map[Digest]int64, len(list))
	for _, d := range list {
		sizes[d] = unknown
	}
	for i := range m.Entries {
		if e := &m.Entries[i]; e.Kind == KindFile && sizes[e.Digest] == unknown {
			sizes[e.Digest] = e.Size
		}
	}
	maps.DeleteFunc(sizes, func(_ Digest, size int64) bool { return size == unknown })
	return sizes
}

// blobs gives the size of every content the manifest names, but for the empty
// one, which is never stored.
func (m *Manifest) blobs() map[Digest]int64 {
	sizes := make(map[Digest]int64, len(m.Entries))
	for i := range m.Entries {
		if e := &m.Entries[i]; e.Kind == KindFile && e.Size > 0 {
			sizes[e.Digest] = e.Size
		}
	}
	return sizes
}
