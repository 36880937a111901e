package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
)

// follow shows a run until it ends: its log on standard output, its story on
// standard error. The run goes on when we are interrupted.
func (s *submitting) follow(ctx context.Context, c *client.Client, r *run.Run) error {
	f := &follower{cli: s.cli, lines: s.lines, id: r.ID}
	f.queued.Store(true)
	f.spoke = s.now() // a short preparation needs no words
	asking, enough := context.WithCancel(ctx)
	var asked sync.WaitGroup
	asked.Go(func() { f.sayWhyItWaits(asking, c) })
	asked.Go(func() { s.lines.keepTime(asking) })
	ended, err := c.Follow(ctx, r.ID, controller.LogQuery{Attempt: 1, Tail: -1}, f.log(), f.notice)
	enough()
	asked.Wait()
	s.lines.clear()
	switch {
	case ctx.Err() != nil:
		f.endLine()
		s.sayf("%s goes on; come back to it with: runner logs -f %s", r.ID, r.ID)
		s.sayf("cancel it with: runner cancel %s", r.ID)
		return exit(server.Interrupted.Exit())
	case isClosedPipe(err):
		s.sayf("nobody reads the log any more; %s goes on: runner logs -f %s", r.ID, r.ID)
		s.sayf("cancel it with: runner cancel %s", r.ID)
		return exit(server.Interrupted.Exit())
	case err != nil:
		s.sayf("%s goes on; come back to it with: runner logs -f %s", r.ID, r.ID)
		return err
	}
	f.endLine()
	return s.closing(ended)
}

// follower tells the story of one run.
type follower struct {
	*cli
	lines    *liveLines
	id       string
	step     string
	queued   atomic.Bool
	remarked string    // what was said of this moment last
	detail   string    // of a step, that was said last
	spoke    time.Time // when that was
}

// speakEvery keeps the lines about a long preparation few where there is no
// terminal for progress bars.
const speakEvery = 5 * time.Second

// A run that waits is asked why: soon, and then now and again.
const (
	askFirst = 400 * time.Millisecond
	askAgain = 5 * time.Second
)

// sayWhyItWaits tells the reason whenever it changes, as long as the run is
// queued.
func (f *follower) sayWhyItWaits(ctx context.Context, c *client.Client) {
	said := ""
	timer := time.NewTimer(askFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(askAgain)
		}
		if !f.queued.Load() {
			continue
		}
		r, err := c.Run(ctx, f.id)
		if err != nil { // the follow itself will say so
			continue
		}
		if r.State == run.Queued && r.Message != said {
			said = r.Message
			f.linef("%s %s", f.err.bold("Queued"), tidyLine(said))
		}
	}
}

// log is where the script's output goes: standard output, byte for byte.
func (f *follower) log() *followedLog { return &followedLog{f} }

type followedLog struct{ *follower }

func (l *followedLog) Write(p []byte) (int, error) { return l.lines.above(l.out).Write(p) }

// notice shows one piece of the story.
func (f *follower) notice(n controller.Notice) error {
	switch {
	case n.Progress != nil:
		f.progress(n.Progress)
	case n.Event != nil:
		f.event(n.Event)
	case n.Remark != nil:
		f.remark(*n.Remark)
	case n.Run != nil:
		f.queued.Store(n.Run.State == run.Queued)
	}
	return nil
}

func (f *follower) progress(p *controller.Progress) {
	if f.step != "" && f.step != p.Step {
		f.lines.drop(f.step)
	}
	f.step = p.Step
	if now := f.now(); !f.lines.enabled && p.Detail != f.detail && now.Sub(f.spoke) >= speakEvery {
		f.detail, f.spoke = p.Detail, now
		f.linef("%s %s", p.Step, tidyLine(p.Detail))
	}
	f.lines.show(p.Step, p.Detail, p.Done, p.Total, p.Unit)
}

// remark says what is true at the moment, when it is something else than
// before: that the target does not answer, that a step is tried again.
func (f *follower) remark(text string) {
	if text == f.remarked {
		return
	}
	f.remarked = text
	const name = "now"
	if text == "" {
		f.lines.drop(name)
		return
	}
	if f.lines.enabled {
		f.lines.show(name, firstLine(text), 0, 0, "")
		return
	}
	f.linef("%s", firstLine(text))
}

func (f *follower) event(e *run.Event) {
	if e.To != run.Preparing && f.step != "" {
		f.lines.drop(f.step)
		f.step = ""
	}
	switch {
	case e.To.Ended(): // the closing line says it better
	case e.Seq == 1: // submitted: said already
	case e.From == e.To:
		f.linef("%s", tidyLine(e.Why))
	default:
		f.linef("%s %s", f.err.bold(string(e.To)), f.err.dim(tidyLine(e.Why)))
	}
}

// linef writes a line of ours between the lines of the script.
func (f *follower) linef(format string, args ...any) {
	if f.quiet {
		return
	}
	f.endLine()
	fmt.Fprintf(f.lines.above(f.err), format+"\n", args...)
}

// endLine keeps our lines from continuing one of the script's, where both are
// on the same screen.
func (f *follower) endLine() {
	if f.out.terminal && f.err.terminal && f.out.midLine() && !f.quiet {
		fmt.Fprintln(f.err)
	}
}

// closing says how a run ended, and gives the exit code.
func (c *cli) closing(r *run.Run) error {
	outcome := run.OutcomeInternalError
	if r.Outcome != nil {
		outcome = *r.Outcome
	}
	meaning := outcome.Meaning()
	if outcome == run.OutcomeCompleted {
		c.sayf("%s %s in %s%s", c.err.bold(r.ID), c.err.green("completed"), c.totalTime(r), c.outputsWords(r))
		if left := leftOutsideWords(r); left != "" {
			c.sayf("%s", left)
		}
		return nil
	}
	if c.quiet && outcome == run.OutcomeCanceled {
		return exit(meaning.Exit)
	}
	say := func(format string, args ...any) { fmt.Fprintf(c.err, format+"\n", args...) } // why it failed is an error, so with --quiet too
	word := c.err.red("failed")
	if outcome == run.OutcomeCanceled {
		word = c.err.yellow("canceled")
	}
	say("%s %s after %s%s%s", c.err.bold(r.ID), word, c.totalTime(r), reasonWords(r, outcome), c.outputsWords(r))
	if more := moreLines(r.Message); more != "" {
		say("%s", more)
	}
	if left := leftOutsideWords(r); left != "" {
		c.sayf("%s", left)
	}
	if hint := hintOf(r); hint != "" {
		say("%s %s", c.err.bold("hint:"), hint)
	}
	return exit(meaning.Exit)
}

// reasonWords is ": the script failed: exit code 3".
func reasonWords(r *run.Run, outcome run.Outcome) string {
	meant, message := outcome.Meaning().Words, firstLine(r.Message)
	switch {
	case outcome == run.OutcomeCanceled && (message == "" || message == meant):
		return ""
	case strings.HasPrefix(message, meant): // says it itself
		return ": " + message
	case outcome == run.OutcomeCanceled:
		return ": " + message
	case message == "":
		return ": " + meant
	default:
		return ": " + meant + ": " + message
	}
}

func (c *cli) totalTime(r *run.Run) string {
	begin, end := r.CreatedAt, c.now()
	if r.StartedAt != nil {
		begin = *r.StartedAt
	}
	if r.EndedAt != nil {
		end = *r.EndedAt
	}
	return took(end.Sub(begin).Round(time.Millisecond))
}

// outputsWords says where the outputs are, when there is anything.
func (c *cli) outputsWords(r *run.Run) string {
	if remote() != "" {
		return ", outputs: runner outputs " + r.ID + " --to DIR"
	}
	if dir := leftIn(r); dir != "" {
		return ", outputs in " + dir
	}
	return ""
}
