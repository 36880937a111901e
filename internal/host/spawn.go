package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxAnswer is how long a spawned command's first line may be.
const maxAnswer = 1 << 20

// errAnswerTooLong is a first line of more than maxAnswer bytes.
var errAnswerTooLong = errors.New("its first line is too long")

// Spawn starts a command in a session of its own and returns the first line it
// writes. When ctx ends before that, the command loses its standard input and
// goes on: like a caller that died, we cannot know how far it is.
//
// Standard error of the command is an unnamed file, so that it may write there
// for as long as it lives; its standard output breaks after the first line.
func (h *Here) Spawn(ctx context.Context, c Command) (answer string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	cmd, err := h.command(c)
	if err != nil {
		return "", err
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("spawn %s: %w", c.Argv[0], err)
	}
	defer func() { _ = inW.Close() }() // closed twice on the good path
	outR, outW, err := os.Pipe()
	if err != nil {
		_ = inR.Close()
		return "", fmt.Errorf("spawn %s: %w", c.Argv[0], err)
	}
	defer func() { _ = outR.Close() }() // only read
	said := unnamedFile()
	if said != nil {
		defer func() { _ = said.Close() }() // the command has its own
		cmd.Stderr = said
	}
	keepFilesHome()
	cmd.Stdin, cmd.Stdout = inR, outW
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	started, err := h.start(cmd)
	_, _ = inR.Close(), outW.Close() // the command has its own
	if err != nil {
		return "", fmt.Errorf("start %s: %w", c.Argv[0], err)
	}

	stop := context.AfterFunc(ctx, func() {
		_ = inW.Close()
		_ = outR.SetReadDeadline(time.Now())
	})
	defer stop()
	feed := make(chan error, 1)
	go func() { feed <- feedStdin(inW, c.Stdin) }()
	go func() { // a command that ended may have left its output to a grandchild
		<-started.ended
		_ = outR.SetReadDeadline(time.Now().Add(pipeGrace))
	}()

	answer, err = readLine(outR)
	if err == nil {
		return answer, nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("spawn %s: %w", c.Argv[0], context.Cause(ctx))
	}
	_ = inW.Close() // so that feedStdin ends
	if fed := <-feed; fed != nil && !errors.Is(fed, syscall.EPIPE) && !errors.Is(fed, os.ErrClosed) {
		return "", fmt.Errorf("spawn %s: feed it: %w", c.Argv[0], fed)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return "", fmt.Errorf("spawn %s: read its answer: %w", c.Argv[0], err)
	}
	return "", h.unanswered(ctx, c.Argv, started, said)
}

// unanswered tells how a command ended that gave no answer.
func (h *Here) unanswered(ctx context.Context, argv []string, started *child, said *os.File) error {
	select {
	case <-started.ended:
	case <-ctx.Done():
		return fmt.Errorf("spawn %s: %w", argv[0], context.Cause(ctx))
	}
	e := &ExitError{Argv: argv, Code: started.code, Signal: started.signal}
	if said != nil {
		e.Stderr = tailOf(said)
	}
	if e.Code == 0 {
		return fmt.Errorf("spawn %s: it ended without an answer: %s", argv[0], strings.TrimSpace(e.Stderr))
	}
	return e
}

func feedStdin(w *os.File, r io.Reader) error {
	if r == nil {
		return w.Close()
	}
	if _, err := io.Copy(w, r); err != nil {
		_ = w.Close() // already failing
		return err
	}
	return w.Close()
}

// readLine reads up to the first newline, and not a byte more is needed.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxAnswer)).ReadString('\n')
	switch {
	case err == nil:
		return strings.TrimSuffix(line, "\n"), nil
	case errors.Is(err, io.EOF) && len(line) == maxAnswer:
		return "", errAnswerTooLong
	default:
		return "", err
	}
}
