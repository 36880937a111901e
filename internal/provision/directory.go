package provision

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

// stopGrace is how long the tools have to end when nobody wants their work.
const stopGrace = 5 * time.Second

// place is where the parts of one environment are on the host.
type place struct {
	// prefix of the environment itself.
	prefix string
	// making is the directory of the supervisor of its build.
	making string
	// recipe is the script of its build.
	recipe string
	// temporary is for what the tools make meanwhile: nothing of a build lies
	// outside of our root. Its name is short, for who makes sockets there.
	temporary string
}

func (p *Provisioner) root() string { return path.Join(p.Host.Root(), "environments") }

func (p *Provisioner) place(digest string) place {
	prefix := path.Join(p.root(), hexOf(digest))
	const few = 12
	short := hexOf(digest)
	short = short[:min(few, len(short))]
	return place{prefix: prefix, making: prefix + ".make", recipe: prefix + ".recipe", temporary: path.Join(p.root(), short+".tmp")}
}

// isReady reports whether the environment is whole and its interpreter is
// there: that may be a link to one that was removed since.
func (p *Provisioner) isReady(ctx context.Context, r *environment.Resolved) (bool, error) {
	prefix := p.place(r.Digest).prefix
	for _, name := range []string{path.Join(prefix, environment.ReadyFile), r.Activate(prefix).Interpreter} {
		if _, err := p.Host.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("look for environment: %w", err)
		}
	}
	return true, nil
}

func (p *Provisioner) ensureDirectory(ctx context.Context, r *environment.Resolved, progress backends.Progress, log io.Writer) (Made, error) {
	at := p.place(r.Digest)
	made := Made{Activation: r.Activate(at.prefix)}
	if ready, err := p.found(ctx, r); ready || err != nil {
		return made, err
	}
	listening := &listener{progress: progress, output: func(b []byte) {
		if log != nil {
			_, _ = log.Write(b) // a log that cannot be written fails no build
		}
	}}
	err := p.builds.do(ctx, r.Digest, listening, func(ctx context.Context, tell *flight) error {
		return p.build(ctx, r, at, tell)
	})
	if err != nil {
		return Made{}, err
	}
	p.touch(ctx, r.Digest)
	return made, nil
}

// found looks for the environment and marks it as used. Removal waits
// meanwhile, and then sees the mark of whoever wants it.
func (p *Provisioner) found(ctx context.Context, r *environment.Resolved) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready, err := p.isReady(ctx, r)
	if ready {
		p.touchLocked(ctx, r.Digest)
	}
	return ready, err
}

// build makes the environment, or follows who makes it.
func (p *Provisioner) build(ctx context.Context, r *environment.Resolved, at place, tell *flight) error {
	if ready, err := p.isReady(ctx, r); ready || err != nil {
		return err
	}
	status, err := p.begin(ctx, r, at)
	if err != nil {
		return fmt.Errorf("make environment: %w", err)
	}
	said := &listening{tell: tell}
	if status.Phase == supervise.Running {
		err = p.follow(ctx, at, said)
	}
	if context.Cause(ctx) != nil {
		return p.giveUp(ctx, at)
	}
	if err != nil {
		return fmt.Errorf("make environment: %w", err)
	}
	if status, err = p.end(ctx, at); err != nil {
		return fmt.Errorf("make environment: %w", err)
	}
	if context.Cause(ctx) != nil {
		return p.giveUp(ctx, at)
	}
	ready, err := p.isReady(ctx, r)
	if err == nil && !ready {
		err = said.failure(status)
	}
	return errors.Join(err, p.clear(ctx, at))
}

// begin starts the build unless one runs already. What an earlier one left
// that did not end well is removed first.
func (p *Provisioner) begin(ctx context.Context, r *environment.Resolved, at place) (supervise.Status, error) {
	status, err := p.status(ctx, at)
	if err != nil || status.Phase == supervise.Running {
		return status, err
	}
	if status.Phase != supervise.Absent {
		if err := p.clear(ctx, at); err != nil {
			return status, err
		}
	}
	recipe, err := r.Recipe(at.prefix)
	if err != nil {
		return status, err
	}
	const private, readable = 0o700, 0o600
	for _, dir := range []string{at.making, at.temporary} {
		if err := p.Host.MkdirAll(ctx, dir, private); err != nil {
			return status, noSpace(err)
		}
	}
	// A file, because it may be larger than a command line.
	if err := p.Host.WriteFile(ctx, at.recipe, []byte(recipe.Script), readable); err != nil {
		return status, noSpace(err)
	}
	return p.Keeper.Start(ctx, at.making, supervise.Launch{
		Mark: "environment." + hexOf(r.Digest), Argv: []string{"/bin/sh", at.recipe}, Inherit: p.Environ == nil,
		Env: append(slices.Clone(p.Environ), "TMPDIR="+at.temporary),
		Dir: p.root(), Grace: stopGrace, MaxLog: maxBuildLog,
	})
}

// maxBuildLog is how much of a build's output is kept.
const maxBuildLog = 64 << 20

// follow reads what the build says until it has ended.
func (p *Provisioner) follow(ctx context.Context, at place, said *listening) error {
	log, err := p.OpenLog(ctx, at.making, 0, true)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			said.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end waits for the moment between the end of the log and the supervisor's word.
func (p *Provisioner) end(ctx context.Context, at place) (supervise.Status, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := p.status(ctx, at)
		if err != nil || status.Phase != supervise.Running {
			return status, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return status, nil
		}
	}
}

func (p *Provisioner) status(ctx context.Context, at place) (supervise.Status, error) {
	all, err := p.Keeper.Status(ctx, []string{at.making})
	if err != nil {
		return supervise.Status{}, err
	}
	return all[0], nil
}

// giveUp stops a build that nobody wants any more. When it is we who end, the
// build goes on.
func (p *Provisioner) giveUp(ctx context.Context, at place) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errLeft) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := p.Keeper.Stop(ctx, at.making, stopGrace); err != nil {
		return errors.Join(cause, err)
	}
	_, err := p.end(ctx, at)
	return errors.Join(cause, err, p.clear(ctx, at))
}

// clear removes what a build leaves beside the environment, and of an
// environment that is not whole everything.
func (p *Provisioner) clear(ctx context.Context, at place) error {
	ctx = context.WithoutCancel(ctx)
	if err := p.Keeper.Clean(ctx, at.making); err != nil {
		return fmt.Errorf("clear up after making an environment: %w", err)
	}
	remove := []string{at.making, at.recipe, at.temporary, at.prefix + environment.MakingSuffix}
	if _, err := p.Host.Stat(ctx, path.Join(at.prefix, environment.ReadyFile)); errors.Is(err, fs.ErrNotExist) {
		remove = append(remove, at.prefix)
	}
	for _, name := range remove {
		if err := p.Host.RemoveAll(ctx, name); err != nil {
			return fmt.Errorf("clear up after making an environment: %w", err)
		}
	}
	return nil
}

// listening reads a build's lines.
type listening struct {
	tell *flight
	last []string
	bad  *environment.Event
}

// lastLines is how many of the tools' lines go into an error.
const lastLines = 8

func (l *listening) line(line string) {
	_, _ = l.tell.Write([]byte(inWords(line)))
	event, ok := environment.ParseLine(strings.TrimRight(line, "\r\n"))
	switch {
	case ok && event.Kind == environment.StepEvent:
		l.tell.step(backends.Step{Name: "environment", Detail: event.Message, Done: int64(event.Step - 1), Total: int64(event.Steps)})
	case ok:
		l.bad = &event
	default:
		if line = strings.TrimRight(line, " \t\r\n"); line == "" {
			return
		}
		if l.last = append(l.last, line); len(l.last) > lastLines {
			l.last = l.last[1:]
		}
	}
}

// failure of a build that ended without an environment.
func (l *listening) failure(s supervise.Status) error {
	f := &backends.Failure{Outcome: run.OutcomeEnvironmentFailed}
	said := ""
	if len(l.last) > 0 {
		said = "\n  " + strings.Join(l.last, "\n  ")
	}
	switch {
	case l.bad != nil:
		f.Hint = l.bad.Hint
		f.Err = errors.New(l.bad.Message + said)
	case s.Phase == supervise.Lost && s.Rebooted:
		f.Temporary, f.Err = true, errors.New("the machine was started anew while the environment was made")
	case s.Phase != supervise.Ended:
		f.Temporary, f.Err = true, fmt.Errorf("the process that makes the environment is gone: %s", s.Message)
	case s.Cause == supervise.NotStarted:
		f.Err = fmt.Errorf("the environment's recipe did not start: %s", s.Message)
	case s.Signal != "":
		f.Err = fmt.Errorf("what makes the environment was ended by %s%s", s.Signal, said)
	default:
		f.Err = fmt.Errorf("what makes the environment ended with exit code %d%s", s.ExitCode, said)
	}
	return f
}
