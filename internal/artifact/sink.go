package artifact

import (
	"context"
	"io"
)

// Sink takes files. Names are slash-separated, relative, and begin with
// "outputs/" or "logs/", or with "checkpoint/" where checkpoints go. Safe for
// concurrent use.
type Sink interface {
	// Put stores one file from r, whole or not at all, replacing what was there.
	// Of f it uses Path, Size, Mode and Modified; with a Digest, what differs
	// from it is ErrCorrupt.
	Put(ctx context.Context, f File, r io.Reader) error
	// Mkdir stores an empty directory.
	Mkdir(ctx context.Context, name string) error
	// Link stores a symbolic link, as it is; one that leads out of the folder's
	// own directories is a *LinkError.
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
	PutRest(ctx context.Context, f File, at int64, r io.Reader) error
}

// Taker is a Sink that can store a file of this computer from where it lies. It
// is ErrChanged when the file changes meanwhile.
type Taker interface {
	Take(ctx context.Context, f File, from string) error
}

// Adopter is a Sink on this computer that can take a directory or file over by
// moving it, which costs nothing. Whatever was under name before is replaced.
type Adopter interface {
	Adopt(ctx context.Context, name, path string) error
}
