package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// liveLines are the progress bars at the bottom of a terminal: one line a
// step, drawn over and over, gone when other output comes. Without a terminal
// they show nothing.
type liveLines struct {
	out     *screen
	enabled bool
	now     func() time.Time

	mu    sync.Mutex
	steps []*liveStep
	drawn int // lines on the screen now
	last  time.Time
}

type liveStep struct {
	name, detail string
	done, total  int64
	unit         string
	since        time.Time
}

// redrawEvery keeps the terminal calm; firstAfter keeps short steps away.
const (
	redrawEvery = 80 * time.Millisecond
	firstAfter  = 120 * time.Millisecond
)

func (c *cli) newLiveLines() *liveLines {
	return &liveLines{out: c.err, enabled: c.err.terminal && !c.quiet, now: c.now}
}

// show says how far a step is.
func (l *liveLines) show(name, detail string, done, total int64, unit string) {
	if !l.enabled {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	step := l.step(name)
	if step == nil {
		step = &liveStep{name: name, since: now}
		l.steps = append(l.steps, step)
	}
	step.detail, step.done, step.total, step.unit = detail, done, total, unit
	if now.Sub(step.since) < firstAfter || now.Sub(l.last) < redrawEvery {
		return
	}
	l.last = now
	l.erase()
	l.draw()
}

func (l *liveLines) step(name string) *liveStep {
	for _, s := range l.steps {
		if s.name == name {
			return s
		}
	}
	return nil
}

// drop takes a step away.
func (l *liveLines) drop(name string) {
	if !l.enabled {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.steps {
		if s.name == name {
			l.steps = append(l.steps[:i], l.steps[i+1:]...)
			break
		}
	}
	if l.drawn > 0 {
		l.erase()
		l.draw()
	}
}

// clear takes all steps away.
func (l *liveLines) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = nil
	l.erase()
}

// keepTime draws the lines again every second, so that the time a step has
// taken goes on, until ctx ends.
func (l *liveLines) keepTime(ctx context.Context) {
	if !l.enabled {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		if len(l.steps) > 0 {
			l.erase()
			l.draw()
		}
		l.mu.Unlock()
	}
}

// above gives a writer whose output goes where the lines are, which move down.
func (l *liveLines) above(w io.Writer) io.Writer {
	if !l.enabled {
		return w
	}
	return aboveWriter{l, w}
}

type aboveWriter struct {
	lines *liveLines
	w     io.Writer
}

func (a aboveWriter) Write(p []byte) (int, error) {
	a.lines.mu.Lock()
	defer a.lines.mu.Unlock()
	a.lines.erase()
	return a.w.Write(p)
}

// erase removes the lines from the screen; the lock is held.
func (l *liveLines) erase() {
	if l.drawn == 0 {
		return
	}
	l.out.control(strings.Repeat("\x1b[1A\x1b[2K", l.drawn))
	l.drawn = 0
}

func (l *liveLines) draw() {
	width := l.out.width()
	if width == 0 || l.out.midLine() {
		return
	}
	for _, s := range l.steps {
		fmt.Fprintln(l.out, s.line(l.out, width-1, l.now().Sub(s.since)))
		l.drawn++
	}
}

const barWidth = 24

// line is one step in at most width columns.
func (s *liveStep) line(out *screen, width int, lasted time.Duration) string {
	figures := ""
	switch {
	case s.unit == "B" && s.total > 0:
		figures = size(s.done) + " / " + size(s.total)
	case s.unit == "B" && s.done > 0:
		figures = size(s.done)
	case s.total > 0:
		figures = fmt.Sprintf("%d / %d", s.done, s.total)
	}
	text := runewidth.FillRight(s.name, 12) + " "
	const leastForBar = 72
	if s.total > 0 && width >= leastForBar {
		text += bar(s.done, s.total) + " "
	}
	if figures != "" {
		text += figures + "  "
	}
	if lasted >= time.Second {
		text += age(lasted) + "  "
	}
	text += tidyLine(s.detail)
	return out.dim(runewidth.Truncate(text, width, "…"))
}

func bar(done, total int64) string {
	full := int(barWidth * min(done, total) / total)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "]"
}

// tidyLine makes one plain line of what a tool said.
func tidyLine(text string) string {
	text = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(text)
	return tidy(text)
}
