package provision

import (
	"bytes"
	"io"

	"github.com/runnerml/runner/environment"
)

// plainWords passes a build's output on with our recipe's own lines in plain
// words. Close it, for a last line without an end.
type plainWords struct {
	to   io.Writer
	open []byte
}

// Write never fails: a log that cannot be written fails no build.
func (w *plainWords) Write(p []byte) (int, error) {
	w.open = append(w.open, p...)
	for {
		end := bytes.IndexByte(w.open, '\n') + 1
		if end == 0 {
			return len(p), nil
		}
		_, _ = io.WriteString(w.to, inWords(string(w.open[:end])))
		w.open = w.open[end:]
	}
}

func (w *plainWords) close() {
	if len(w.open) > 0 {
		_, _ = io.WriteString(w.to, inWords(string(w.open)))
		w.open = nil
	}
}

// inWords is a line of a build as a person reads it.
func inWords(line string) string {
	if event, ok := environment.ParseLine(line); ok {
		return event.Words()
	}
	return line
}
