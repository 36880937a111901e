// Package artifact is where outputs and logs are kept after an attempt: a
// directory now, blob stores later.
//
// A backend writes into a Sink. A file is visible in it only whole: what was
// cut half-way is not there, and storing it again replaces it. A store may keep
// the beginning out of sight, so that only the rest need come (Resumer).
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
	// Settle is said when all is stored: what was put stays, whatever happens
	// to the machine, and what was only begun is dropped.
	Settle(ctx context.Context) error
}

// Resumer is a Sink that keeps what came of a large file whose Put was cut off,
// so that only the rest need come.
type Resumer interface {
	// Begun is how much is kept of a file, in bytes, and the SHA-256 of that;
	// zero when nothing is.
	Begun(ctx context.Context, name string) (size int64, digest []byte, err error)
	// PutRest is Put of what follows the at bytes that Begun told of.
	PutRest(ctx context.Context, name string, mode fs.FileMode, at int64, r io.Reader) error
}

// Adopter is a Sink on this computer that can take a directory or file over by
// moving it, which costs nothing. Whatever was under name before is replaced.
type Adopter interface {
	Adopt(ctx context.Context, name, path string) error
}
