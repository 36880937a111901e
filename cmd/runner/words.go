package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/runnerml/runner/internal/run"
)

// took writes a duration for people: 0.42s, 12.3s, 4m05s, 2h03m, 3d04h.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// age writes how long ago something was: 5s, 3m, 2h, 4d.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

// size writes a number of bytes: 12 KiB.
func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

// duration is how long a run's script ran, or has been running.
func duration(r *run.Run, now time.Time) string {
	if r.StartedAt == nil {
		return ""
	}
	if r.EndedAt != nil {
		now = *r.EndedAt
	}
	return took(now.Sub(*r.StartedAt))
}

// plural writes "1 file", "3 files".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// short is a digest as people compare it.
func short(digest string) string {
	const shown = 12
	_, hex, ok := strings.Cut(digest, ":")
	if !ok {
		hex = digest
	}
	return hex[:min(shown, len(hex))]
}

// firstLine is the first line of a message, fit for a table.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return tidyLine(line)
}

// moreLines are what the tools said, as they laid it out.
func moreLines(message string) string {
	what, more, _ := run.SplitMessage(message)
	var lines []string
	for line := range strings.Lines(tidy(more)) {
		bare := strings.TrimPrefix(strings.TrimSpace(line), "ERROR: ")
		if bare == "" || !strings.Contains(what, bare) { // the first line says it already
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// hintOf is what can be done about how a run ended: what its message says, and
// what goes for all that ended like it.
func hintOf(r *run.Run) string {
	own := r.Hint
	if own == "" { // a run as it is stored
		_, _, own = run.SplitMessage(r.Message)
	}
	if r.Outcome == nil {
		return tidyLine(own)
	}
	general := hintFor(r, r.Outcome.Meaning().Hint)
	if *r.Outcome == run.OutcomeEnvironmentFailed && remote() == "" && !holdsFiles(filepath.Join(keptIn(r), "logs")) {
		general = "" // no tool said anything
	}
	switch {
	case own == "":
		return general
	case general != "" && *r.Outcome == run.OutcomeEnvironmentFailed: // the tools said more
		return tidyLine(own) + "; " + general
	}
	return tidyLine(own)
}

// hintFor puts the run's id where a hint of the table says RUN.
func hintFor(r *run.Run, hint string) string {
	return regexp.MustCompile(`\bRUN\b`).ReplaceAllLiteralString(hint, r.ID)
}

// stateIn writes a state in its colour.
func stateIn(s *screen, state run.State) string {
	word := string(state)
	switch state {
	case run.Completed:
		return s.green(word)
	case run.Failed:
		return s.red(word)
	case run.Canceled:
		return s.yellow(word)
	case run.Running:
		return s.blue(word)
	case run.Queued, run.Preparing, run.Starting, run.Finalizing:
	}
	return word
}
