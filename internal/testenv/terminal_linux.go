package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Answer is what a person types when the screen says a text.
type Answer struct{ To, Typed string }

// OnTerminal runs one command on a terminal of its own, with somebody who answers, one after the other. It gives all
// that stood on the screen, what was typed included, and the exit code.
func (c *CLI) OnTerminal(answers []Answer, args ...string) (screen string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), commandTimeout)
	defer cancel()
	screen, code, err := c.onTerminal(ctx, answers, args)
	if err != nil {
		c.t.Fatalf("testenv: runner %s, on a terminal: %v; it says\n%s", strings.Join(args, " "), err, screen)
	}
	return screen, code
}

func (c *CLI) onTerminal(ctx context.Context, answers []Answer, args []string) (screen string, code int, err error) {
	person, terminal, err := openTerminal()
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, person.Close()) }()
	cmd := exec.CommandContext(ctx, c.Bin, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Env, terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // its standard input
	err = cmd.Start()
	if err = errors.Join(err, terminal.Close()); err != nil {
		return "", 0, err
	}
	var shown strings.Builder
	answered, buf := 0, make([]byte, 4<<10)
	for {
		n, readErr := person.Read(buf)
		shown.Write(buf[:n])
		if len(answers) > 0 && strings.Contains(shown.String()[answered:], answers[0].To) {
			answered = shown.Len()
			if _, err := person.WriteString(answers[0].Typed + "\n"); err != nil {
				return shown.String(), 0, errors.Join(err, cmd.Wait())
			}
			answers = answers[1:]
		}
		if readErr != nil { // nobody has the terminal any more
			break
		}
	}
	err = cmd.Wait()
	if _, ended := errors.AsType[*exec.ExitError](err); ended && ctx.Err() == nil {
		err = nil
	}
	if len(answers) > 0 {
		err = errors.Join(err, fmt.Errorf("nobody asked %q", answers[0].To))
	}
	return shown.String(), cmd.ProcessState.ExitCode(), err
}

// openTerminal makes a terminal: its end for the person before it, and its end for programs.
func openTerminal() (person, terminal *os.File, err error) {
	person, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, person.Close())
	}
	return person, terminal, nil
}
