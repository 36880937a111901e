package supervise

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/program"
)

// copyBuffer is how much of a log is in memory at once.
const copyBuffer = 256 << 10

// mainLog writes a log to stdout, and ends when nobody reads it any more.
func mainLog(args []string, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	if f, ok := stdout.(*os.File); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			waitUnread(int(f.Fd()))
			cancel()
		}()
	}
	return writeLog(ctx, args, stdout)
}

// writeLog writes a log to stdout until it ends, or ctx does.
func writeLog(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("log", flag.ContinueOnError)
	offset := flags.Int64("offset", 0, "")
	follow := flags.Bool("follow", false, "")
	dir, err := parse(flags, args)
	if err != nil {
		return err
	}
	r, err := OpenLog(ctx, dir, *offset, *follow)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	// Without the two types' short cuts: they would not use our buffer.
	_, err = io.CopyBuffer(struct{ io.Writer }{stdout}, struct{ io.Reader }{r}, make([]byte, copyBuffer))
	if ctx.Err() != nil {
		return nil // cut off is a way to end
	}
	return err
}

// waitUnread waits until the reader of a pipe or socket is gone: while a log
// is silent, no write would tell. Where there is no such thing it waits for ever.
func waitUnread(fd int) {
	for {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(fds, -1)
		if n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			return
		}
		if err != nil && err != unix.EINTR {
			select {}
		}
	}
}

// mainProgram says which program this is, so that a copy of it can be checked.
func mainProgram(stdout io.Writer) error {
	who, err := program.Identify("")
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(who)
}
