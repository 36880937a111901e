package sshhost

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/runnerml/runner/internal/host"
)

// ahead is the session of a login, in which a command may have been started
// for whoever runs the same first. Until then nobody feeds it, and what it says
// is kept.
type ahead struct {
	argv   []string
	words  *wordReader
	cancel context.CancelCauseFunc
	// given is closed when somebody runs it: then command is who.
	given chan struct{}
	// done is closed when it ended: then end and err say how.
	done chan struct{}
	end  ending
	err  error

	mu      sync.Mutex
	command *host.Command
	early   bytes.Buffer
	said    host.Tail
}

func newAhead(words *wordReader) *ahead {
	return &ahead{words: words, given: make(chan struct{}), done: make(chan struct{})}
}

// maxEarly is how much a command may say before anybody listens.
const maxEarly = 64 << 10

var errEarly = errors.New("it says much to nobody")

// waitsFor reports whether the connection has started this command ahead.
func (c *conn) waitsFor(cmd host.Command) bool {
	a := c.ahead.Load()
	if a == nil || len(cmd.Env) > 0 || cmd.Dir != "" || !slices.Equal(a.argv, cmd.Argv) {
		return false
	}
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// takeAhead gives a command that was started ahead to the first who runs it.
func (c *conn) takeAhead(cmd host.Command) *ahead {
	if !c.waitsFor(cmd) {
		return nil
	}
	a := c.ahead.Load()
	if a == nil || !c.ahead.CompareAndSwap(a, nil) {
		return nil
	}
	return a
}

// run is the rest of its life, in the hands of who runs it.
func (a *ahead) run(ctx context.Context, cmd host.Command) (ending, string, error) {
	a.mu.Lock()
	a.command = &cmd
	err := a.pass(nil)
	if early := a.said.String(); err == nil && early != "" && cmd.Stderr != nil {
		_, err = io.WriteString(cmd.Stderr, early)
	}
	a.mu.Unlock()
	close(a.given)
	if err != nil {
		a.cancel(err)
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		a.cancel(context.Cause(ctx))
		<-a.done
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.end, a.said.String(), a.err
}

// pass hands on what was said; the caller holds the lock.
func (a *ahead) pass(p []byte) error {
	if a.command == nil {
		if a.early.Len()+len(p) > maxEarly {
			return errEarly
		}
		a.early.Write(p)
		return nil
	}
	if a.command.Stdout == nil {
		return nil
	}
	if a.early.Len() > 0 {
		if _, err := a.early.WriteTo(a.command.Stdout); err != nil {
			return err
		}
	}
	if len(p) == 0 {
		return nil
	}
	_, err := a.command.Stdout.Write(p)
	return err
}

// Read is its standard input.
func (a *ahead) Read(p []byte) (int, error) {
	select {
	case <-a.given:
	case <-a.done:
		return 0, io.EOF
	}
	if a.command.Stdin == nil {
		return 0, io.EOF
	}
	return a.command.Stdin.Read(p)
}

// aheadOutput is its standard output: the greeting, then its own.
type aheadOutput ahead

func (o *aheadOutput) Write(p []byte) (int, error) {
	rest := o.words.take(p)
	if len(rest) == 0 {
		return len(p), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(p), (*ahead)(o).pass(rest)
}

// aheadErrors is its standard error.
type aheadErrors ahead

func (o *aheadErrors) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.command != nil && o.command.Stderr != nil {
		return o.command.Stderr.Write(p)
	}
	return o.said.Write(p)
}
