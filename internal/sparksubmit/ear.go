package sparksubmit

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/runnerml/runner/internal/run"
)

// ear listens to what Spark says in the log of spark-submit and of the driver.
// Only Spark's own lines count, told by the class that wrote them: a script may
// print and throw what it likes.
type ear struct {
	report *keeper

	mu sync.Mutex
	// lost says of tasks, "3 in stage 1.0", why they were lost for want of memory
	// the last time.
	lost map[string]string
}

func newEar(report *keeper) *ear { return &ear{report: report, lost: map[string]string{}} }

var (
	lineWords  = regexp.MustCompile(`^(?:\S+ \S+ )?(?:INFO|WARN|ERROR) ([\w.$]+): (.*)`)
	taskWords  = regexp.MustCompile(`^Lost task (\d+)\.\d+ (in stage [\d.]+) \(TID[^)]*\)(?: \([^)]*\))?: (.*)`)
	abortWords = regexp.MustCompile(`^Task (\d+) (in stage [\d.]+) failed \d+ times; aborting job`)
	// memoryWords are YARN's and Spark's reasons for an executor that took too
	// much; 52 is SparkExitCode.OOM.
	memoryWords = regexp.MustCompile(`exceeding (?:physical |virtual )?memory limits|running beyond (?:physical|virtual) memory limits|exit(?:ed with)? (?:code|status:?) 52\b|OOMKilled`)
)

// executorLost begins Spark's word for a task whose executor went.
const executorLost = "ExecutorLostFailure "

// hear takes what a line says into the report.
func (e *ear) hear(line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.report.change(func(r *Report) { e.listen(strings.TrimRight(line, "\r\n"), r) }) // it only explains
}

func (e *ear) listen(line string, r *Report) {
	if m := idWords.FindStringSubmatch(line); m != nil {
		r.Application = m[1]
	}
	if m := urlWords.FindStringSubmatch(line); m != nil {
		r.URL = m[1]
	}
	m := lineWords.FindStringSubmatch(line)
	if m == nil {
		return
	}
	class, words := m[1][strings.LastIndexByte(m[1], '.')+1:], m[2]
	switch class {
	case "TaskSetManager":
		e.task(words, r)
	case "SparkContext":
		// The script has gone on: what ended an earlier job is not its end.
		if strings.HasPrefix(words, "Starting job") && r.Outcome == run.OutcomeOutOfMemory {
			r.Outcome, r.Reason = "", ""
			clear(e.lost)
		}
	}
}

// task takes what is said of one task.
func (e *ear) task(words string, r *Report) {
	if m := taskWords.FindStringSubmatch(words); m != nil {
		task, why := m[1]+" "+m[2], m[3]
		delete(e.lost, task)
		if reason := outOfMemory(why); reason != "" {
			e.lost[task] = reason
			r.Reason = reason
		}
		return
	}
	if m := abortWords.FindStringSubmatch(words); m != nil {
		if reason := e.lost[m[1]+" "+m[2]]; reason != "" {
			r.Outcome, r.Reason = run.OutcomeOutOfMemory, reason
		}
	}
}

// outOfMemory is why a task was lost, when that was for want of memory: its
// executor was taken away, or its JVM had no more. A task's own exception begins
// with its class.
func outOfMemory(why string) string {
	if after, lost := strings.CutPrefix(why, executorLost); lost {
		_, reason, _ := strings.Cut(after, "Reason: ")
		if memoryWords.MatchString(reason) {
			return "an executor was lost: " + reason
		}
		return ""
	}
	if strings.HasPrefix(why, "java.lang.OutOfMemoryError") {
		return "an executor had no more memory: " + why
	}
	return ""
}

// hearing is a stream that an ear hears, line by line, and that goes on to to.
type hearing struct {
	to   io.Writer
	ear  *ear
	line []byte
}

// longestLine is how much of one line is heard.
const longestLine = 64 << 10

func (h *hearing) Write(p []byte) (int, error) {
	n, err := h.to.Write(p)
	for rest := p[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			h.line = append(h.line, rest[:min(len(rest), max(0, longestLine-len(h.line)))]...)
			break
		}
		h.line = append(h.line, rest[:min(end, max(0, longestLine-len(h.line)))]...)
		h.ear.hear(string(h.line))
		h.line, rest = h.line[:0], rest[end+1:]
	}
	return n, err
}
