package environment

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Ready is what a finished recipe says about the environment it made.
type Ready struct {
	Kind   Kind   `json:"kind"`
	Digest string `json:"digest"`
	// Tool that made it: uv, pip, micromamba, mamba or conda.
	Tool          string    `json:"tool"`
	ToolVersion   string    `json:"tool_version"`
	PythonVersion string    `json:"python_version"`
	MadeAt        time.Time `json:"made_at"`
}

// ParseReady reads the content of a ReadyFile.
func ParseReady(data []byte) (Ready, error) {
	var ready Ready
	if err := json.Unmarshal(data, &ready); err != nil {
		return Ready{}, fmt.Errorf("ready file of an environment: %w", err)
	}
	if ready.Digest == "" || ready.Kind == "" {
		return Ready{}, fmt.Errorf("ready file of an environment: no kind or digest in %q", data)
	}
	return ready, nil
}

// EventKind says what a recipe's line tells.
type EventKind string

// The kinds of lines.
const (
	StepEvent  EventKind = "step"
	ErrorEvent EventKind = "error"
)

// Event is what one line of a recipe's output tells.
type Event struct {
	Kind EventKind
	// Step and Steps say how far it is, for StepEvent: 2 of 3.
	Step, Steps int
	// Message is what is being done, or what went wrong.
	Message string
	// Hint says what to do, for ErrorEvent; may be empty.
	Hint string
}

// Words of the event, for whoever reads a log: whole lines.
func (e Event) Words() string {
	switch {
	case e.Kind == StepEvent:
		return fmt.Sprintf("step %d/%d: %s\n", e.Step, e.Steps, e.Message)
	case e.Hint != "":
		return fmt.Sprintf("error: %s\nhint: %s\n", e.Message, e.Hint)
	default:
		return fmt.Sprintf("error: %s\n", e.Message)
	}
}

// ParseLine reads one line of a recipe's output, without its line end. False:
// it is the output of a tool.
func ParseLine(line string) (Event, bool) {
	line = strings.TrimRight(line, "\r\n")
	if rest, ok := strings.CutPrefix(line, "::error "); ok {
		message, hint, _ := strings.Cut(rest, " | ")
		return Event{Kind: ErrorEvent, Message: strings.TrimSpace(message), Hint: strings.TrimSpace(hint)}, true
	}
	rest, ok := strings.CutPrefix(line, "::step ")
	if !ok {
		return Event{}, false
	}
	progress, message, ok := strings.Cut(rest, " ")
	if !ok {
		return Event{}, false
	}
	at, of, ok := strings.Cut(progress, "/")
	step, err := strconv.Atoi(at)
	steps, err2 := strconv.Atoi(of)
	if !ok || err != nil || err2 != nil || step < 1 || step > steps {
		return Event{}, false
	}
	return Event{Kind: StepEvent, Step: step, Steps: steps, Message: message}, true
}
