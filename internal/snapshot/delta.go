package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Shares counts the files that are the same in both: path, content and mode.
func (m *Manifest) Shares(other *Manifest) int {
	shared := 0
	eachPath(other.Entries, m.Entries, func(was, is *Entry) {
		if was != nil && is != nil && is.Kind == KindFile && *was == *is {
			shared++
		}
	})
	return shared
}

// eachPath visits the paths of two lists in order, with the entries that have
// it: nil where there is none.
func eachPath(was, is []Entry, visit func(was, is *Entry)) {
	for len(was) > 0 || len(is) > 0 {
		order := 0
		switch {
		case len(was) == 0:
			order = 1
		case len(is) == 0:
			order = -1
		case was[0].Path != is[0].Path:
			order = comparePaths(was[0].Path, is[0].Path)
		}
		switch {
		case order < 0:
			visit(&was[0], nil)
			was = was[1:]
		case order > 0:
			visit(nil, &is[0])
			is = is[1:]
		default:
			visit(&was[0], &is[0])
			was, is = was[1:], is[1:]
		}
	}
}

// A delta is what one manifest has that another has not:
//
//	magic | number of entries that go, their paths | entries, as in a manifest
//
// An entry in place of another of its path does not go.
const deltaMagic = "runner-delta 1\n"

// Delta gives what makes base into m, for somebody who has base.
func (m *Manifest) Delta(base *Manifest) []byte {
	var gone, entries []byte
	count := uint64(0)
	eachPath(base.Entries, m.Entries, func(was, is *Entry) {
		switch {
		case is == nil:
			count++
			gone = appendText(gone, was.Path)
		case was == nil || *was != *is:
			entries = appendEntry(entries, is)
		}
	})
	b := binary.AppendUvarint([]byte(deltaMagic), count)
	return append(append(b, gone...), entries...)
}

// Apply makes base into the manifest that a delta of it is of. The result is
// checked as UnmarshalBinary does; that it is the one that was meant, its ID
// tells.
func (m *Manifest) Apply(delta []byte) (*Manifest, error) {
	rest, ok := bytes.CutPrefix(delta, []byte(deltaMagic))
	if !ok {
		return nil, errors.New("not a manifest's delta, or of a newer version")
	}
	count, text, err := decodeNumber(string(rest), maxEntries)
	if err != nil {
		return nil, err
	}
	gone := make(map[string]bool)
	for range count {
		var path string
		if path, text, err = decodeText(text); err != nil {
			return nil, err
		}
		gone[path] = true
	}
	var news []Entry
	for len(text) > 0 {
		var e Entry
		if e, text, err = decodeEntry(text); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(news), err)
		}
		if n := len(news); n > 0 && comparePaths(news[n-1].Path, e.Path) >= 0 {
			return nil, fmt.Errorf("path %q: out of order, or there twice", e.Path)
		}
		news = append(news, e)
	}
	entries := make([]Entry, 0, len(m.Entries)+len(news))
	eachPath(m.Entries, news, func(was, is *Entry) {
		switch {
		case is != nil:
			entries = append(entries, *is)
		case !gone[was.Path]:
			entries = append(entries, *was)
		}
	})
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("manifest has more than %d entries", maxEntries)
	}
	if err := checkEntries(entries); err != nil {
		return nil, err
	}
	data := encodeManifest(entries)
	if len(data) > maxManifest {
		return nil, fmt.Errorf("manifest has %d bytes, more than %d", len(data), maxManifest)
	}
	return &Manifest{ID: digestID(data), Entries: entries}, nil
}
