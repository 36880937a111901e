package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// Run runs a command to its end. It is never run twice. When ctx ends its
// process group gets SIGTERM and, two seconds later, SIGKILL.
func (h *Host) Run(ctx context.Context, c host.Command) error {
	script, err := prepare(c, h.root)
	if err != nil {
		return err
	}
	mark := newMark()
	var said host.Tail
	e := execution{
		name: c.Argv[0], mark: mark, stdin: c.Stdin, stdout: c.Stdout, stderr: c.Stderr,
		script: script + announce(mark) + "exec " + host.Quote(c.Argv...),
	}
	if c.Stderr == nil {
		e.stderr = &said
	}
	var end ending
	words := said.String
	ready := func(cn *conn) bool { return cn.waitsFor(c) || readyForSession(cn) }
	err = h.do(ctx, false, ready, func(ctx context.Context, cn *conn) error {
		if a := cn.takeAhead(c); a != nil {
			var text string
			end, text, err = a.run(ctx, c)
			words = func() string { return text }
			return err
		}
		end, err = cn.exec(ctx, e)
		return err
	})
	if err != nil {
		return err
	}
	return exitError(c.Argv, end, words())
}

// exitError is nil for a command that ended well.
func exitError(argv []string, end ending, said string) error {
	if end.code == 0 {
		return nil
	}
	return &host.ExitError{Argv: argv, Code: end.code, Signal: end.signal, Stderr: said}
}

// script runs a script of our own, which may be repeated as a whole.
func (h *Host) script(ctx context.Context, op, script string, stdin []byte, stdout *bytes.Buffer) error {
	return h.do(ctx, true, readyForSession, func(ctx context.Context, c *conn) error {
		return c.script(ctx, op, script, stdin, stdout)
	})
}

// script runs a script of our own on this connection. What it says on standard
// error, in C's language, becomes an error with the meaning of errno.
func (c *conn) script(ctx context.Context, op, script string, stdin []byte, stdout *bytes.Buffer) error {
	mark := newMark()
	var said host.Tail
	e := execution{name: op, mark: mark, stderr: &said, script: announce(mark) + "LC_ALL=C; export LC_ALL\n" + script}
	if stdin != nil {
		e.stdin = bytes.NewReader(stdin)
	}
	if stdout != nil {
		stdout.Reset() // this may be the second time
		e.stdout = stdout
	}
	end, err := c.exec(ctx, e)
	if err != nil {
		return err
	}
	if end.code != 0 {
		return fmt.Errorf("%s: %w", op, saidError(end, said.String()))
	}
	return nil
}

// errNoAnswer is a spawned command that ended well and said nothing.
var errNoAnswer = errors.New("it ended without an answer")

// maxAnswer is how long a spawned command's first line may be.
const maxAnswer = 1 << 20

// Spawn starts a command in a session of its own and returns the first line it
// writes. It is never started twice. When ctx ends before the answer, the
// command loses its standard input and goes on, as on a caller that died.
func (h *Host) Spawn(ctx context.Context, c host.Command) (answer string, err error) {
	script, err := prepare(c, h.root)
	if err != nil {
		return "", err
	}
	mark := newMark()
	var said host.Tail
	out := &limited{left: maxAnswer}
	e := execution{
		name: c.Argv[0], mark: mark, stdin: c.Stdin, stdout: out, stderr: &said,
		script: script + detach(h.root, mark, c.Argv),
	}
	var end ending
	err = h.do(ctx, false, readyForSession, func(ctx context.Context, cn *conn) error {
		end, err = cn.exec(ctx, e)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("spawn %s: %w", c.Argv[0], err)
	}
	if line, _, whole := strings.Cut(out.String(), "\n"); whole {
		return line, nil
	}
	if err := exitError(c.Argv, end, said.String()); err != nil {
		return "", err
	}
	return "", fmt.Errorf("spawn %s: %w: %s", c.Argv[0], errNoAnswer, strings.TrimSpace(said.String()))
}

// detach is the script of Spawn. On the left of the pipe the command gets its
// session and a file for standard error that nobody else sees. On the right
// the answer is awaited; then all of the script goes, by force: its left side
// waits for the command. When there is no answer, the exit code and the last
// of standard error are brought.
//
// The command is not started with "&": a shell makes those deaf to SIGINT.
func detach(root, mark string, argv []string) string {
	return "d=" + host.Quote(root+"/.spawn-"+strings.TrimPrefix(mark, "runner-")) + `
u=$(umask); umask 077
mkdir -- "$d" && : >"$d/err" || exit 125
umask "$u"
if command -v setsid >/dev/null 2>&1; then own() { setsid "$@"; }
elif command -v perl >/dev/null 2>&1; then own() { perl -e 'use POSIX; POSIX::setsid(); exec { $ARGV[0] } @ARGV; exit 127' "$@"; }
elif command -v python3 >/dev/null 2>&1; then own() { python3 -c 'import os,sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"; }
else rm -rf -- "$d"; echo "no setsid, perl or python3 to start a process that stays" >&2; exit 125; fi
` + announce(mark) + `
{ own sh -c 'echo $PPID >"$0/left"; exec "$@"' "$d" ` + host.Quote(argv...) + ` 2>>"$d/err"; echo $? >"$d/code"; } | {
if IFS= read -r a; then
read -r l <"$d/left"; rm -rf -- "$d"; printf '%s\n' "$a"; kill -KILL "$l" $$
fi
c=; read -r c <"$d/code"; tail -c 4096 "$d/err" >&2; rm -rf -- "$d"; exit "${c:-125}"
}`
}

// limited is a buffer that takes so much and no more.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, io.ErrShortBuffer
	}
	return l.Buffer.Write(p)
}
