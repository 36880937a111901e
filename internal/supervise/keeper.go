package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// private is the mode of a supervised directory.
const private fs.FileMode = 0o700

// Keeper starts supervised processes on one host and looks after them. All
// methods are safe for concurrent use.
type Keeper struct {
	host host.Host
	// bin is this program on the host.
	bin string
	// local: the host's files are ours, so we look ourselves.
	local bool
}

// New is the Keeper of a host; bin is this program there (see Install).
func New(h host.Host, bin string) *Keeper {
	_, local := h.(host.Local)
	return &Keeper{host: h, bin: bin, local: local}
}

// Start starts a process in dir, an absolute directory that is its own and is
// made when it is not there. Started before, it is not started again: the
// answer says how it is. A program that cannot be started is Ended and
// NotStarted, not an error.
func (k *Keeper) Start(ctx context.Context, dir string, l Launch) (Status, error) {
	if err := l.Validate(); err != nil {
		return Status{}, err
	}
	data, err := json.Marshal(l)
	if err != nil {
		return Status{}, fmt.Errorf("start %s: %w", l.Mark, err)
	}
	if k.local { // the supervisor makes it, too, but cannot say as well why not
		if err := k.host.MkdirAll(ctx, dir, private); err != nil {
			return Status{}, fmt.Errorf("start %s: %w", l.Mark, err)
		}
	}
	answer, err := k.host.Spawn(ctx, host.Command{Argv: []string{k.bin, "supervise", dir}, Stdin: bytes.NewReader(data)})
	if err != nil {
		return Status{}, fmt.Errorf("start %s: %w", l.Mark, err)
	}
	var s Status
	if err := json.Unmarshal([]byte(answer), &s); err != nil {
		return Status{}, fmt.Errorf("start %s: the supervisor's answer: %w", l.Mark, err)
	}
	return s, nil
}

// Status says how the processes of dirs are; the answer has the same order.
func (k *Keeper) Status(ctx context.Context, dirs []string) ([]Status, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.local {
		return StatusAll(dirs), nil
	}
	all := make([]Status, 0, len(dirs))
	for len(dirs) > 0 {
		n := batch(dirs)
		var out bytes.Buffer
		if err := k.run(ctx, &out, append([]string{"status"}, dirs[:n]...)...); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		var some []Status
		if err := json.Unmarshal(out.Bytes(), &some); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		if len(some) != n {
			return nil, fmt.Errorf("status: %d answers for %d directories", len(some), n)
		}
		all, dirs = append(all, some...), dirs[n:]
	}
	return all, nil
}

// commandLine is how long our command lines are at most, far below what any
// system or shell takes.
const commandLine = 48 << 10

// batch is how many of dirs fit into one command line; at least one.
func batch(dirs []string) int {
	size := 0
	for i, d := range dirs {
		if size += len(d) + 8; size > commandLine && i > 0 {
			return i
		}
	}
	return len(dirs)
}

// Stop asks the process of dir to end: SIGTERM to all of it, SIGKILL after
// grace. It returns once the wish is with the supervisor. What has ended or
// never was is fine.
func (k *Keeper) Stop(ctx context.Context, dir string, grace time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	if k.local {
		err = Stop(dir, grace)
	} else {
		err = k.run(ctx, nil, "stop", "--grace", grace.String(), dir)
	}
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// Clean makes that nothing of the process of dir runs any more, whatever its
// state. The files stay.
func (k *Keeper) Clean(ctx context.Context, dir string) error {
	var err error
	if k.local {
		err = Clean(ctx, dir)
	} else {
		err = k.run(ctx, nil, "clean", dir)
	}
	if err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	return nil
}

// OpenLog reads the log of dir from byte offset on. Without follow it ends at
// what is there now. With it, it waits for more until the process has ended
// and all is read, or ctx ends.
func (k *Keeper) OpenLog(ctx context.Context, dir string, offset int64, follow bool) (io.ReadCloser, error) {
	if k.local {
		return OpenLog(ctx, dir, offset, follow)
	}
	args := []string{"log", "--offset", strconv.FormatInt(offset, 10)}
	if follow {
		args = append(args, "--follow")
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := k.run(ctx, w, append(args, dir)...)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		w.CloseWithError(err) // nil is EOF
	}()
	return &remoteLog{PipeReader: r, cancel: cancel, ended: ended}, nil
}

// remoteLog is a log that a command on the host reads for us.
type remoteLog struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

// Close ends the command and waits for that.
func (r *remoteLog) Close() error {
	r.cancel()
	err := r.PipeReader.Close()
	<-r.ended
	return err
}

// OffsetSince says from which byte of the log on the output was written at
// time t of the host's clock or later, exact to a tenth of a second.
func (k *Keeper) OffsetSince(ctx context.Context, dir string, t time.Time) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if k.local {
		return OffsetSince(dir, t)
	}
	var out bytes.Buffer
	if err := k.run(ctx, &out, "offset", "--since", t.UTC().Format(time.RFC3339Nano), dir); err != nil {
		return 0, fmt.Errorf("offset: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
}

// errTooOld is a program on the host that does not know what we ask.
var errTooOld = errors.New("the runner on the host does not know this command")

// run runs our own subcommand on the host.
func (k *Keeper) run(ctx context.Context, stdout io.Writer, args ...string) error {
	err := k.host.Run(ctx, host.Command{Argv: append([]string{k.bin, "supervise"}, args...), Stdout: stdout})
	var failed *host.ExitError
	if errors.As(err, &failed) && failed.Code == codeUsage {
		return fmt.Errorf("%w: %w", errTooOld, err)
	}
	return err
}
