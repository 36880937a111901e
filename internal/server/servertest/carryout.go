package servertest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"golang.org/x/sys/unix"
)

func (s *Service) path(id string) string    { return filepath.Join(s.dir, id) }
func (s *Service) logPath(id string) string { return filepath.Join(s.path(id), "logs", "std_log.txt") }

// carryOut is the whole life of a run with one attempt.
func (s *Service) carryOut(ctx context.Context, id string, sub controller.Submission) {
	defer s.cancels[id]()
	s.step(id, run.Preparing, "making the environment")
	s.report(id, controller.Progress{Step: "environment", Detail: "pip: installing", Done: 1, Total: 2})
	s.step(id, run.Starting, "starting")
	err := os.MkdirAll(filepath.Join(s.path(id), "outputs"), 0o700)
	err = errors.Join(err, os.MkdirAll(filepath.Dir(s.logPath(id)), 0o700))
	if err == nil {
		s.step(id, run.Running, "the script runs")
		err = s.execute(ctx, id, sub)
	}
	s.step(id, run.Finalizing, "bringing outputs home")
	s.end(ctx, id, err)
}

func (s *Service) execute(ctx context.Context, id string, sub controller.Submission) error {
	log, err := os.Create(s.logPath(id))
	if err != nil {
		return err
	}
	defer log.Close()
	argv := []string{"sh", "-c", sub.Config.Command}
	if sub.Config.Script != "" {
		argv = append([]string{"sh", filepath.Join(sub.Config.SourceDirectory, sub.Config.Script)}, sub.Config.Arguments...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // a test's own command
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.path(id), log, log
	cmd.Env = os.Environ()
	for name, value := range sub.Secrets {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd.Run()
}

func (s *Service) step(id string, to run.State, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[id]
	now := time.Now().UTC()
	if to == run.Preparing {
		r.Attempts = append(r.Attempts, run.Attempt{Number: 1, Node: "here"})
	}
	if to == run.Running {
		r.StartedAt, r.Attempts[0].StartedAt = &now, &now
	}
	from := r.State
	r.State, r.Attempts[0].State, r.Message = to, to, why
	s.note(r, 1, from, to, why)
}

func (s *Service) report(id string, p controller.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress[id] = p
	s.tell()
}

func (s *Service) end(ctx context.Context, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[id]
	outcome, code := run.OutcomeCompleted, 0
	r.Message = ""
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		outcome, r.Message = run.OutcomeCanceled, "canceled"
	case exited:
		outcome, code, r.Message = run.OutcomeScriptFailed, exit.ExitCode(), "the script ended with "+exit.String()
	case err != nil:
		outcome, r.Message = run.OutcomeInternalError, err.Error()
	}
	now := time.Now().UTC()
	a := &r.Attempts[0]
	a.Outcome, a.ExitCode, a.EndedAt, a.State, a.Collected = &outcome, &code, &now, outcome.Meaning().State, true
	r.Outcome, r.ExitCode, r.EndedAt = &outcome, &code, &now
	r.State = outcome.Meaning().State
	s.note(r, 1, run.Finalizing, r.State, outcome.Meaning().Words)
}

// Watch tells a run's story.
func (s *Service) Watch(ctx context.Context, id string, after int) (<-chan controller.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.find(id)
	if err != nil {
		return nil, err
	}
	out := make(chan controller.Notice)
	s.work.Go(func() {
		defer close(out)
		state, told := run.State(""), controller.Progress{}
		for {
			s.mu.Lock()
			changed := s.changed
			r := s.copyOf(id)
			events := s.events[id][min(after, len(s.events[id])):]
			progress := s.progress[id]
			s.mu.Unlock()
			var notices []controller.Notice
			for i := range events {
				after = events[i].Seq
				notices = append(notices, controller.Notice{Event: &events[i]})
			}
			if progress != told {
				told = progress
				notices = append(notices, controller.Notice{Progress: &progress})
			}
			if r.State != state {
				state = r.State
				notices = append(notices, controller.Notice{Run: r})
			}
			for _, notice := range notices {
				select {
				case out <- notice:
				case <-ctx.Done():
					return
				}
			}
			if r.State.Ended() {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return out, nil
}

// Logs reads a run's log; it knows offsets and following, and no tails.
func (s *Service) Logs(ctx context.Context, id string, q controller.LogQuery) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if q.Attempt > len(s.runs[id].Attempts) {
		return nil, &controller.NoAttemptError{Run: id, Attempt: q.Attempt, Newest: len(s.runs[id].Attempts)}
	}
	return &logReader{s: s, ctx: ctx, id: id, follow: q.Follow, offset: q.Offset, begin: q.Offset}, nil
}

type logReader struct {
	s      *Service
	ctx    context.Context //nolint:containedctx // a reader has no other way to end
	id     string
	follow bool
	begin  int64
	offset int64
	file   *os.File
}

// Position is where the reader began.
func (l *logReader) Position() (int, int64) { return 1, l.begin }

// logPause is how often a log that is followed is looked at.
const logPause = 5 * time.Millisecond

func (l *logReader) Read(p []byte) (int, error) {
	for {
		l.s.mu.Lock()
		ended := l.s.runs[l.id].State.Ended()
		l.s.mu.Unlock()
		if l.file == nil {
			if f, err := os.Open(l.s.logPath(l.id)); err == nil {
				l.file = f
			}
		}
		if l.file != nil {
			n, err := l.file.ReadAt(p, l.offset)
			l.offset += int64(n)
			if n > 0 || err != nil && !errors.Is(err, io.EOF) {
				return n, nil
			}
		}
		if ended || !l.follow {
			return 0, io.EOF
		}
		timer := time.NewTimer(logPause)
		select {
		case <-l.ctx.Done():
			timer.Stop()
			return 0, l.ctx.Err()
		case <-timer.C:
		}
	}
}

// Close closes the file.
func (l *logReader) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
