package artifact

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// Store keeps what runs leave. It is safe for concurrent use. An
// *UnavailableError of anything in it means that it cannot be asked now: asking
// again can help.
type Store interface {
	// Attempt is the folder of one attempt: its outputs/ and logs/.
	Attempt(run string, number int) Folder
	// Checkpoint is the folder of a run's checkpoint directory: its checkpoint/.
	Checkpoint(run string) Folder
	// Check says whether the store can be used: nil, or an *UnavailableError.
	Check(ctx context.Context) error
	// Runs names all runs of which there is something.
	Runs(ctx context.Context) ([]string, error)
	// Size of all that is kept of a run, in bytes.
	Size(ctx context.Context, run string) (int64, error)
	// Delete removes all that is kept of a run. One that is not there is fine.
	Delete(ctx context.Context, run string) error
}

// Addressed is a Folder that others can read by themselves.
type Addressed interface {
	// Address is where others find what has that name, as an input's path says
	// it. Nothing is asked: it may not be there.
	Address(ctx context.Context, name string) (string, error)
}

// Folder is a Sink that can be read. Files that are not there are
// fs.ErrNotExist.
type Folder interface {
	Sink
	// List gives everything, sorted by path; directories only when they are
	// empty. A folder into which nothing was put has nothing.
	List(ctx context.Context) ([]File, error)
	// Stat tells of one thing; links are not followed.
	Stat(ctx context.Context, name string) (File, error)
	// Open opens one file for reading, at its beginning. A link is followed when
	// it stays inside; what is no file is a *KindError.
	Open(ctx context.Context, name string) (Readable, error)
	// Digest is the SHA-256 of a file's content. It is remembered: what has not
	// changed is read once at most.
	Digest(ctx context.Context, name string) ([]byte, error)
	// Remove removes one file, link or empty directory. What is not there is fine.
	Remove(ctx context.Context, name string) error
}

// File is one thing in a folder.
type File struct {
	// Path is relative, with slashes, and begins with "outputs/", "logs/" or
	// "checkpoint/".
	Path string
	// Size in bytes; zero for links and directories. Put: -1 when unknown.
	Size int64
	// Mode has the permission bits, and what kind of thing it is.
	Mode fs.FileMode
	// Modified last, where it was made. Zero: unknown. Put with the same Size
	// and Modified need not be repeated, so whoever puts what may still be
	// changing leaves it out.
	Modified time.Time
	// Link is the target of a symbolic link, else empty.
	Link string
	Dir  bool
	// Digest is the SHA-256 of the content; nil when it is not known without
	// reading it.
	Digest []byte
}

// Readable is an open file of a folder; it can be sought in.
type Readable interface {
	io.ReadSeekCloser
	io.ReaderAt
	// File is what was opened. Its Path is the one that was asked for.
	File() File
}
