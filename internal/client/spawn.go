package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/runnerml/runner/internal/server"
)

// AnswerFD is the descriptor on which a spawned agent answers.
const AnswerFD = 3

// Started is the one line that a spawned agent writes to AnswerFD: it serves,
// another one does, or what is wrong.
type Started struct {
	Ready   bool            `json:"ready,omitempty"`
	Served  bool            `json:"served,omitempty"`
	Problem *server.Problem `json:"problem,omitempty"`
}

// start starts an agent, detached from this terminal and process, and returns
// when it, or one that was faster, answers.
func (l *Local) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.Home.Make(); err != nil {
		return server.WrongPath(err)
	}
	log, err := l.Home.OpenLog()
	if err != nil {
		return server.WrongPath(err)
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	defer read.Close()
	args := []string{"agent", "run", "--spawned"}
	if l.Idle > 0 {
		args = append(args, "--idle", l.Idle.String())
	}
	cmd := exec.Command(l.Executable, args...) //nolint:gosec,noctx // our own executable, which outlives ctx
	cmd.Env = append(agentEnviron(l.Environ), "RUNNER_HOME="+string(l.Home))
	cmd.Dir = string(l.Home)
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{write} // AnswerFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := keepDescriptors(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	err = cmd.Start()
	if err = errors.Join(err, write.Close()); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	if err := cmd.Process.Release(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	return l.awaitStarted(ctx, read)
}

// keepDescriptors keeps from the agent what whoever started us left open: a
// pipe that it held would never end.
func keepDescriptors() error {
	const firstOwn = 3
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= firstOwn {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

func (l *Local) awaitStarted(ctx context.Context, from *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = from.Close() }) // ends the read below
	defer stop()
	line, err := bufio.NewReader(from).ReadBytes('\n')
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var started Started
	if err != nil || json.Unmarshal(line, &started) != nil {
		return &died{&server.Problem{
			Code: server.Internal, Message: "the agent ended as it started", Where: l.Home.LogFile(),
			Hint: "the end of that file says why",
		}}
	}
	if started.Problem != nil {
		return started.Problem
	}
	return nil
}

// died is an agent that ended before it could say why: somebody killed it, and
// the next one may live.
type died struct{ *server.Problem }

func (d *died) Unwrap() error { return d.Problem }

// agentEnviron leaves out what is only for this command.
func agentEnviron(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == "RUNNER_HOME" || name == "RUNNER_SERVER" || name == "RUNNER_TOKEN"
	})
}

func decode(response *http.Response, v any) error {
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
