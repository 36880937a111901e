package snapshot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNotFound says that the store holds no snapshot of that ID.
var ErrNotFound = errors.New("no such snapshot")

// ErrNotEmpty says that a snapshot was to be unpacked over existing files.
var ErrNotEmpty = errors.New("directory is not empty")

// FileSize names a file and its size in bytes.
type FileSize struct {
	Path string
	Size int64
}

// TooLargeError says that a source directory holds more than the limit.
type TooLargeError struct {
	Dir     string
	Bytes   int64      // what the picture would hold
	Max     int64      // the limit, in bytes
	Largest []FileSize // the ten largest files, largest first
	Ignore  string     // the ignore file to write exclusions to
}

func (e *TooLargeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "source directory %s is %s, more than the limit of %s; largest files:", e.Dir, mebibytes(e.Bytes), mebibytes(e.Max))
	for _, f := range e.Largest {
		fmt.Fprintf(&b, "\n  %10s  %s", mebibytes(f.Size), quotePath(f.Path))
	}
	return b.String()
}

// Hint tells the user what to do about it.
func (e *TooLargeError) Hint() string {
	return fmt.Sprintf("name what the script does not need in %s (one pattern per line, as in .gitignore), give data as an input, or raise the limit", e.Ignore)
}

// LeadingLink is a symbolic link that leads out of the source directory.
type LeadingLink struct{ Path, Target string }

// LinkError says which symbolic links lead out of the source directory.
type LinkError struct {
	Links  []LeadingLink
	Ignore string // the ignore file to write exclusions to
}

func (e *LinkError) Error() string {
	names := make([]string, len(e.Links))
	for i, l := range e.Links {
		names[i] = quotePath(l.Path) + " -> " + quotePath(l.Target)
	}
	return "symbolic links lead out of the source directory: " + strings.Join(names, ", ")
}

// Hint tells the user what to do about it.
func (e *LinkError) Hint() string {
	return "exclude them in " + e.Ignore + ", or replace them with the files they lead to"
}

// SpecialFile is an entry that has no content to picture.
type SpecialFile struct{ Path, Kind string }

// SpecialFileError says which sockets, pipes and devices were found.
type SpecialFileError struct {
	Files  []SpecialFile
	Ignore string // the ignore file to write exclusions to
}

func (e *SpecialFileError) Error() string {
	names := make([]string, len(e.Files))
	for i, f := range e.Files {
		names[i] = quotePath(f.Path) + " (" + f.Kind + ")"
	}
	return "source directory holds what cannot be copied: " + strings.Join(names, ", ")
}

// Hint tells the user what to do about it.
func (e *SpecialFileError) Hint() string { return "exclude them in " + e.Ignore }

// ChangedError says that a file kept changing, or vanished, while it was read.
type ChangedError struct {
	Path     string
	Vanished bool
	Ignore   string // the ignore file to write exclusions to
}

func (e *ChangedError) Error() string {
	if e.Vanished {
		return "file vanished while the source directory was read: " + quotePath(e.Path)
	}
	return "file kept changing while it was read: " + quotePath(e.Path)
}

// Hint tells the user what to do about it.
func (e *ChangedError) Hint() string {
	return "wait until nothing writes to it, or exclude it in " + e.Ignore
}

// CorruptError says that something stored is damaged. Taking the same source
// again stores it again.
type CorruptError struct {
	Object string // for example "pack 18a...-3f.pack" or "manifest sha256:..."
	Err    error
}

func (e *CorruptError) Error() string {
	return "snapshot store: corrupt " + e.Object + ": " + e.Err.Error()
}

func (e *CorruptError) Unwrap() error { return e.Err }

// Hint tells the user what to do about it.
func (e *CorruptError) Hint() string {
	return "submit from the source directory again: it is stored afresh"
}

// StreamError says that an imported stream is not what Export writes.
type StreamError struct{ Reason string }

func (e *StreamError) Error() string { return "snapshot stream: " + e.Reason }

// MissingError says that a stream ended well but did not bring everything.
type MissingError struct {
	ID    ID
	Blobs int // how many blobs of the snapshot the store still lacks
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("snapshot %s: %d blobs are missing", e.ID, e.Blobs)
}

func mebibytes(n int64) string {
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// quotePath leaves ordinary names alone and quotes those that would garble a
// terminal or hide where they end.
func quotePath(p string) string {
	if q := strconv.Quote(p); q != `"`+p+`"` || strings.ContainsAny(p, ", ") {
		return q
	}
	return p
}

func isCorrupt(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt)
}

// nameIgnore tells an error about a source directory which ignore file counts
// there, for its hint.
func nameIgnore(err error, ignore string) error {
	var link *LinkError
	var special *SpecialFileError
	var changed *ChangedError
	var large *TooLargeError
	switch {
	case errors.As(err, &link):
		link.Ignore = ignore
	case errors.As(err, &special):
		special.Ignore = ignore
	case errors.As(err, &changed):
		changed.Ignore = ignore
	case errors.As(err, &large):
		large.Ignore = ignore
	}
	return err
}
