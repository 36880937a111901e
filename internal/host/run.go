package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// termGrace is how long a command has between SIGTERM and SIGKILL when
	// its context ended.
	termGrace = 2 * time.Second
	// pipeGrace is how long we read on after a command has ended, when a
	// grandchild still holds its output.
	pipeGrace = 500 * time.Millisecond
)

// errNoArgv is a command without a program.
var errNoArgv = errors.New("empty command line")

// Run runs a command in its own process group to its end. When ctx ends the
// group gets SIGTERM and, two seconds later, SIGKILL.
func (h *Here) Run(ctx context.Context, c Command) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cmd, err := h.command(c)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	feed, err := feeding(cmd, c.Stdin)
	if err != nil {
		return err
	}
	var said Tail
	if c.Stderr == nil {
		cmd.Stderr = &said
	}
	cmd.WaitDelay = pipeGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.DiesWithUs {
		defer dieWithUs(cmd.SysProcAttr)()
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	fed := feed()

	ended := make(chan struct{})
	guarded := make(chan struct{})
	go func() {
		defer close(guarded)
		endWith(ctx, cmd.Process.Pid, ended)
	}()
	err = cmd.Wait()
	close(ended)
	<-guarded
	select {
	case feedErr := <-fed:
		if err == nil {
			err = feedErr // what it read was not all
		}
	default: // it did not read to the end
	}
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s was cut off: %w", c.Argv[0], context.Cause(ctx))
	}
	var failed *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // it ended well; whoever still holds its output is on its own
	case errors.As(err, &failed):
		return exitError(c.Argv, failed.ProcessState, said.String())
	default:
		return fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
}

// feeding gives a command its standard input from a reader that may never end:
// the command's end is not kept waiting for it. feed begins, once the command
// has; what it gives tells how the reader ended.
func feeding(cmd *exec.Cmd, from io.Reader) (feed func() <-chan error, err error) {
	if f, ok := from.(*os.File); ok || from == nil {
		if ok {
			cmd.Stdin = f
		}
		return func() <-chan error { return nil }, nil
	}
	to, err := cmd.StdinPipe() // Wait closes it
	if err != nil {
		return nil, fmt.Errorf("standard input of %s: %w", cmd.Path, err)
	}
	return func() <-chan error {
		fed := make(chan error, 1)
		go func() {
			_, err := io.Copy(to, from)
			if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
				err = nil // a command need not read it all
			}
			fed <- err
			_ = to.Close() // it has ended, or is told so
		}()
		return fed
	}, nil
}

// endWith ends a process group when ctx ends before the command did.
func endWith(ctx context.Context, group int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	_ = unix.Kill(-group, unix.SIGTERM) // ESRCH: gone already, which is the aim
	grace := time.NewTimer(termGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	}
	_ = unix.Kill(-group, unix.SIGKILL) // also what the command left in its group
}

// command prepares argv, environment and directory.
func (h *Here) command(c Command) (*exec.Cmd, error) {
	if len(c.Argv) == 0 {
		return nil, errNoArgv
	}
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...) //nolint:gosec,noctx // running commands is what a Host is for; Run ends the whole group itself
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = h.root
	}
	cmd.Env = append(os.Environ(), c.Env...)
	return cmd, nil
}

// exitError tells how a process ended that did not end well.
func exitError(argv []string, state *os.ProcessState, said string) *ExitError {
	e := &ExitError{Argv: argv, Code: state.ExitCode(), Stderr: said}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = unix.SignalName(ws.Signal())
		e.Code = 128 + int(ws.Signal())
	}
	return e
}
