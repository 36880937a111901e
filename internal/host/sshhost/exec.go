package sshhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// termGrace is how long a command has between SIGTERM and SIGKILL when its
	// context ended.
	termGrace = 2 * time.Second
	// pipeGrace is how long we read on after a command has ended, when a
	// grandchild still holds its output.
	pipeGrace = 500 * time.Millisecond
)

// execution is a script for sh on the host.
type execution struct {
	// name of what runs, for errors.
	name   string
	script string
	mark   string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// ending is how a script ended.
type ending struct {
	code   int
	signal string // "SIGKILL"; empty when it exited
}

// exec runs a script. An error means that it did not run, or not to an end
// that we know.
func (c *conn) exec(ctx context.Context, e execution) (ending, error) {
	s, err := c.session(ctx)
	if err != nil {
		return ending{}, err
	}
	defer s.close()
	if err := s.start(ctx, e.script); err != nil {
		return ending{}, err
	}
	out, said := newMarked(e.mark, e.stdout), newMarked(e.mark, e.stderr)
	read := make(chan struct{})
	readErr := make(chan struct{})
	c.tasks.Go(func() { defer close(read); out.carry(s.ch) })
	c.tasks.Go(func() { defer close(readErr); said.carry(s.ch.Stderr()) })
	defer func() { out.shut(); said.shut() }()
	go func() { // nobody waits for it: a reader of the caller may never end
		if e.stdin != nil {
			_, _ = io.Copy(s.ch, e.stdin) // a command need not read it all
		}
		_ = s.ch.CloseWrite() // the channel may be closed
	}()

	select {
	case <-s.ended:
	case <-out.broke:
		return ending{}, fmt.Errorf("write the output of %s: %w", e.name, out.err)
	case <-said.broke:
		return ending{}, fmt.Errorf("write what %s says: %w", e.name, said.err)
	case <-ctx.Done():
		c.cutOff(s, out)
		return ending{}, fmt.Errorf("%s was cut off: %w", e.name, context.Cause(ctx))
	}
	for _, o := range []struct {
		m    *marked
		done chan struct{}
	}{{out, read}, {said, readErr}} {
		drain(ctx, s, o.m, o.done)
	}
	s.close()
	switch {
	case ctx.Err() != nil && (!s.reported || s.code != 0):
		return ending{}, fmt.Errorf("%s was cut off: %w", e.name, context.Cause(ctx))
	case !s.reported, !c.lives():
		return ending{}, c.lost(true, nil)
	}
	out.shut()
	said.shut()
	switch {
	case out.err != nil:
		return ending{}, fmt.Errorf("write the output of %s: %w", e.name, out.err)
	case said.err != nil:
		return ending{}, fmt.Errorf("write what %s says: %w", e.name, said.err)
	case !out.found:
		return ending{}, notStarted(e.name, s.code, out.noise(), said.noise())
	}
	return ending{code: s.code, signal: s.signal}, nil
}

// start sends the script.
func (s *session) start(ctx context.Context, script string) error {
	asked := make(chan error, 1)
	s.conn.tasks.Go(func() {
		if err := s.exec(bootstrap); err != nil {
			asked <- err
			return
		}
		_, err := io.WriteString(s.ch, header(script))
		if err != nil && s.conn.lives() {
			err = nil // the shell ended already; what it said comes
		} else if err != nil {
			err = s.conn.lost(true, err)
		}
		asked <- err
	})
	select {
	case err := <-asked:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain reads on after the command ended: to the end of its output, or until
// nothing more comes because a grandchild holds it open.
func drain(ctx context.Context, s *session, m *marked, done <-chan struct{}) {
	for {
		before := m.moved.Load()
		timer := time.NewTimer(pipeGrace)
		select {
		case <-done:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		s.ping(ctx)
		if m.moved.Load() == before && !m.busy() {
			return
		}
	}
}

// cutOff ends a command whose context ended: SIGTERM, grace, SIGKILL.
func (c *conn) cutOff(s *session, out *marked) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*termGrace)
	defer cancel()
	if !s.kill(ctx, ssh.SIGTERM) {
		c.killFromOutside(ctx, s, out)
		return
	}
	if s.endsIn(termGrace) {
		return
	}
	s.kill(ctx, ssh.SIGKILL)
	s.endsIn(termGrace)
}

func (s *session) endsIn(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ended:
		return true
	case <-timer.C:
		return false
	}
}

// killFromOutside is for servers that pass no signals on: another session
// kills the group. Where there is no other, the command's output breaks.
func (c *conn) killFromOutside(ctx context.Context, s *session, out *marked) {
	out.shut()
	pid := out.after
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return
	}
	mark := newMark()
	script := announce(mark) + fmt.Sprintf("kill -TERM -%s; sleep %d; kill -KILL -%s", pid, int(termGrace.Seconds()), pid)
	killer, err := c.session(ctx)
	if err != nil {
		return
	}
	defer killer.close()
	if killer.start(ctx, script) == nil {
		killer.endsIn(2 * termGrace)
	}
}

// notStarted is a script that ended before its command began.
func notStarted(name string, code int, noise, said string) error {
	text := said
	if text == "" {
		text = noise
	}
	if text == "" {
		text = fmt.Sprintf("exit code %d", code)
	}
	if code == codeNotFound && strings.Contains(text, "no such program") {
		return fmt.Errorf("start %s: %w", name, errNotFound)
	}
	return fmt.Errorf("%s: not started, the host says: %s", name, text)
}

var errNotFound = errors.New("no such program on the host")
