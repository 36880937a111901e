package host

import (
	"context"
	"io"
	"io/fs"
	"net"
)

// Unfinished is how the names of files begin that WriteFile has not finished.
// Whoever removes what lay beside them removes those as well: a process that
// was killed in the middle leaves one.
const Unfinished = ".new-"

// Host is a machine that we can run commands on, move files to and dial
// sockets of: this one (Here), or one over SSH. Paths are absolute paths on
// the host. All methods are safe for concurrent use.
type Host interface {
	// Root is the directory on the host under which everything of ours lies.
	Root() string
	// Platform says what it is.
	Platform(ctx context.Context) (Platform, error)

	// Run runs a command to its end. A command that ends with another code
	// than 0 gives an *ExitError; it holds the last of stderr when Stderr is nil.
	Run(ctx context.Context, c Command) error
	// Spawn starts a command that outlives us (its own session, no terminal,
	// not our child's fate), feeds it stdin and returns once it has written
	// one line to its standard output, which is its answer, or has ended.
	Spawn(ctx context.Context, c Command) (answer string, err error)
	// Dial opens a connection from the host, for example to the socket of its
	// Docker engine.
	Dial(ctx context.Context, network, address string) (net.Conn, error)

	// Open reads a file. The result is also an io.Seeker.
	Open(ctx context.Context, path string) (File, error)
	// WriteFile stores data whole or not at all: under a name that begins with
	// Unfinished beside it, then renamed.
	WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode) error
	Stat(ctx context.Context, path string) (fs.FileInfo, error)
	Lstat(ctx context.Context, path string) (fs.FileInfo, error)
	ReadDir(ctx context.Context, path string) ([]fs.DirEntry, error)
	Readlink(ctx context.Context, path string) (string, error)
	MkdirAll(ctx context.Context, path string, mode fs.FileMode) error
	// RemoveAll removes a tree, also one with directories whose permission
	// bits forbid it. A path that is not there is fine.
	RemoveAll(ctx context.Context, path string) error
	Rename(ctx context.Context, from, to string) error
}

// Local is a Host whose files are this computer's own, so that callers may
// take short cuts (move instead of copy, call instead of run).
type Local interface {
	Host
	// Here marks it; it does nothing.
	Here()
}

// File is an open file on a host.
type File interface {
	io.ReadSeekCloser
	Stat() (fs.FileInfo, error)
}

// Command is a command line for a host. Argv reaches the program byte for
// byte, whatever is in it.
type Command struct {
	Argv []string
	// Env is added to the host's own environment, "NAME=value".
	Env []string
	// Dir is the working directory; empty: Root.
	Dir    string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// DiesWithUs has the command killed when this process is, where that can be
	// had: on this computer, with Linux. Else it may go on.
	DiesWithUs bool
}

// Platform is what kind of machine a host is.
type Platform struct {
	// OS and Arch in Go's words: "linux", "amd64".
	OS, Arch string
	Hostname string
	// BootID changes with each boot; empty where the system has none.
	BootID string
	// UID and GID that our files and processes have.
	UID, GID int
	Home     string
}
