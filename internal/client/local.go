package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/server"
)

// Local is the agent of a RUNNER_HOME on this computer. Whoever connects
// first starts it.
type Local struct {
	Home server.Home
	// Executable is started as `Executable agent run ...`.
	Executable string
	// Build is the executable's own; an agent of another build is replaced,
	// because the command that the user runs wins. Runs go on meanwhile.
	Build string
	// Schema is the newest database that the executable understands. An agent
	// with a newer one is left alone.
	Schema int
	// Environ of an agent that is started.
	Environ []string
	// Idle is handed on to an agent that is started; zero: its own default.
	Idle time.Duration
}

const (
	handshakeTimeout = 10 * time.Second
	stopTimeout      = 30 * time.Second
	startTimeout     = time.Minute
	// revivePause is how long others have to start an agent again.
	revivePause = 400 * time.Millisecond
	// pollPause is how often something short is looked at again.
	pollPause = time.Millisecond
)

// connectTries bounds how often Connect looks again: commands of two builds
// may put each other's agents aside at the same moment.
const connectTries = 10

// Connect gives a client of an agent of our own build, which is started, or
// put in the place of another one, as needed.
func (l *Local) Connect(ctx context.Context) (*Client, error) {
	var last error
	for range connectTries {
		info, err := l.Ask(ctx)
		switch {
		case err != nil:
		case info == nil:
			err = l.start(ctx)
		case info.Build == l.Build, info.Foreground:
			return l.client(), nil
		case info.Schema > l.Schema:
			err = l.older(info)
		default:
			err = l.Stop(ctx)
		}
		if _, ok := errors.AsType[*died](err); err != nil && !ok {
			return nil, err
		}
		last = err
	}
	if last != nil {
		return nil, last
	}
	return nil, &server.Problem{
		Code: server.Unavailable, Message: "commands of another build keep replacing the agent", Where: string(l.Home),
		Hint: "use one build of runner at a time",
	}
}

// client does not insist on our build: when the line breaks in the middle, an
// agent that somebody else's command started serves as well.
func (l *Local) client() *Client {
	return New(Options{Dial: l.Home.Dial, Revive: l.revive})
}

// revive starts an agent again that went away in the middle, unless somebody
// else does: a command of a newer build that put it aside starts its own.
func (l *Local) revive(ctx context.Context) error {
	others := time.NewTimer(revivePause)
	defer others.Stop()
	again := time.NewTicker(revivePause / 20)
	defer again.Stop()
	for {
		info, err := l.Ask(ctx)
		if err != nil || info != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again.C:
		case <-others.C:
			return l.start(ctx)
		}
	}
}

// Ask says who answers on the home's socket, nil when nobody does.
func (l *Local) Ask(ctx context.Context) (*server.AgentInfo, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, &server.Problem{
		Code: server.Unavailable, Message: "the agent does not answer", Where: l.Home.Socket(),
		Hint: "see " + l.Home.LogFile() + ", and end it with runner agent stop",
	})
	defer cancel()
	c := New(Options{Dial: l.Home.Dial})
	defer c.Close()
	var info server.AgentInfo
	response, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/agent"})
	if err == nil {
		err = decode(response, &info)
	}
	switch {
	case err == nil:
		return &info, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case isNobody(err):
		return nil, nil
	default:
		return nil, err
	}
}

// isNobody tells the errors of a socket behind which nobody is, or nobody is
// any more.
func isNobody(err error) bool {
	if _, ok := errors.AsType[*server.Problem](err); ok {
		return false
	}
	if errors.Is(err, fs.ErrPermission) {
		return false
	}
	_, broken := errors.AsType[*net.OpError](err)
	return broken || errors.Is(err, fs.ErrNotExist) || isEOF(err) || errors.Is(err, syscall.ECONNREFUSED)
}

// Stop ends the agent and returns when it no longer answers. Runs go on. An
// agent that does not answer is ended by signal.
func (l *Local) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	c := New(Options{Dial: l.Home.Dial})
	defer c.Close()
	asking, give := context.WithTimeout(ctx, handshakeTimeout)
	defer give()
	// Somebody who follows a run may start another agent at once: it is this one
	// whose end counts.
	holder, err := l.Home.Holder()
	if err != nil {
		return err
	}
	response, err := c.send(asking, request{method: http.MethodPost, path: "/v1/agent/stop"})
	if err == nil {
		err = response.Body.Close()
	}
	if p, ok := errors.AsType[*server.Problem](err); ok {
		return p
	}
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		if err := l.Home.Kill(); err != nil {
			return err
		}
	}
	return l.Home.AwaitEnd(ctx, holder, pollPause)
}

// Yield ends an agent, when there is one that this executable may replace.
func (l *Local) Yield(ctx context.Context) error {
	info, err := l.Ask(ctx)
	if err != nil || info == nil {
		return err
	}
	if info.Schema > l.Schema {
		return l.older(info)
	}
	return l.Stop(ctx)
}

// older is the refusal to replace an agent of a newer database.
func (l *Local) older(info *server.AgentInfo) error {
	return &server.Problem{
		Code: server.Unavailable, Where: string(l.Home),
		Message: fmt.Sprintf("this runner is older than the agent (%s) and its database (schema %d, this one knows %d)",
			info.Version, info.Schema, l.Schema),
		Hint: "use the newer runner, or another RUNNER_HOME; the agent was left running",
	}
}
