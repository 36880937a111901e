// Package artifact is where outputs and logs are kept after an attempt: a
// directory now, blob stores later.
//
// A backend writes into a Sink. A file is visible in it only whole: what was
// cut half-way is not there, and storing it again replaces it.
package artifact

import (
	"context"
	"io"
	"io/fs"
)

// Sink takes the files of one attempt. Names are slash-separated, relative,
// and begin with "outputs/" or "logs/". Safe for concurrent use.
type Sink interface {
	// Put stores one file from r, whole or not at all. size is its length in
	// bytes, -1 when unknown; mode gives the permission bits.
	Put(ctx context.Context, name string, mode fs.FileMode, size int64, r io.Reader) error
	// Mkdir stores an empty directory.
	Mkdir(ctx context.Context, name string) error
	// Link stores a symbolic link; one that leads out of the attempt's own
	// directory is refused.
	Link(ctx context.Context, name, target string) error
}

// Adopter is a Sink on this computer that can take a directory or file over by
// moving it, which costs nothing. Whatever was under name before is replaced.
type Adopter interface {
	Adopt(ctx context.Context, name, path string) error
}
