package blobstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/blob"
)

// The metadata of a blob of ours.
const (
	metaMode     = "runner_mode"     // octal
	metaModified = "runner_modified" // nanoseconds since 1970; none: unknown
	metaDigest   = "runner_sha256"   // hexadecimal
	metaLink     = "runner_link"     // a link's target, base64
)

// metadata of a file.
func metadata(f artifact.File) map[string]string {
	m := map[string]string{metaMode: fmt.Sprintf("%04o", f.Mode.Perm())}
	if !f.Modified.IsZero() {
		m[metaModified] = strconv.FormatInt(f.Modified.UnixNano(), 10)
	}
	if f.Digest != nil {
		m[metaDigest] = hex.EncodeToString(f.Digest)
	}
	if f.Link != "" {
		m[metaLink] = base64.RawURLEncoding.EncodeToString([]byte(f.Link))
	}
	return m
}

// defaultMode is that of a blob that another program put there.
const defaultMode = 0o644

// fileOf is what a blob stands for, by the name of the file.
func fileOf(name string, b blob.Blob) artifact.File {
	f := artifact.File{Path: name, Size: b.Size, Mode: defaultMode, Modified: b.Modified}
	if target, err := base64.RawURLEncoding.DecodeString(b.Metadata[metaLink]); err == nil && len(target) > 0 {
		f.Link, f.Size, f.Mode = string(target), 0, fs.ModeSymlink|fs.ModePerm
		return f
	}
	if mode, err := strconv.ParseUint(b.Metadata[metaMode], 8, 32); err == nil {
		f.Mode = fs.FileMode(mode).Perm()
	}
	if at, err := strconv.ParseInt(b.Metadata[metaModified], 10, 64); err == nil {
		f.Modified = time.Unix(0, at)
	}
	if sum, err := hex.DecodeString(b.Metadata[metaDigest]); err == nil && len(sum) == sha256.Size {
		f.Digest = sum
	}
	return f
}
