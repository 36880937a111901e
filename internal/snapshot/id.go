package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const idPrefix = "sha256:"

// Digest is the SHA-256 of a file's content.
type Digest [sha256.Size]byte

// emptyDigest names the content of every empty file. It is never stored.
func emptyDigest() Digest { return sha256.Sum256(nil) }

// String gives the digest as "sha256:<hex>".
func (d Digest) String() string { return idPrefix + hex.EncodeToString(d[:]) }

// MarshalText writes the digest as "sha256:<hex>".
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// ParseDigest reads "sha256:<64 lower-case hex digits>".
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, idPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(d)) || strings.ToLower(digits) != digits {
		return d, fmt.Errorf("digest %q: want sha256: and 64 lower-case hex digits", s)
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return d, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// ID names a snapshot: "sha256:<hex>", the digest of its canonical manifest.
type ID string

// ParseID checks that s has the form of a snapshot's ID.
func ParseID(s string) (ID, error) {
	d, err := ParseDigest(s)
	if err != nil {
		return "", fmt.Errorf("snapshot id: %w", err)
	}
	return idOf(d), nil
}

// Hex is the part of the ID after "sha256:", which is fit for file names.
func (id ID) Hex() string { return strings.TrimPrefix(string(id), idPrefix) }

func idOf(d Digest) ID { return ID(d.String()) }

// digestID is the ID of a manifest with these bytes.
func digestID(manifest []byte) ID { return idOf(sha256.Sum256(manifest)) }
