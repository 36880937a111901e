package sparksubmit

import (
	"regexp"
	"strings"

	"github.com/runnerml/runner/internal/run"
)

// What spark-submit and the driver say in their log. Spark's own ids:
// application_TIME_N on YARN, app-TIME-N at a standalone master, local-TIME.
var (
	idWords  = regexp.MustCompile(`(?:Application ID is assigned: |Submitted application |Connected to Spark cluster with app ID |Application report for )((?:application|app)[_-][0-9]+[_-][0-9]+)`)
	urlWords = regexp.MustCompile(`(?:tracking URL: |Bound SparkUI to [^ ]+, and started at |SparkUI available at |Bound [A-Z]+ to .* started at )(https?://[^\s,]+)`)
)

// listen takes what a line says into the report.
func listen(line string, r *Report) {
	if m := idWords.FindStringSubmatch(line); m != nil {
		r.Application = m[1]
	}
	if m := urlWords.FindStringSubmatch(line); m != nil {
		r.URL = m[1]
	}
	if why := lostExecutor(line); why != "" {
		r.Reason = why
		r.Outcome = run.OutcomeOutOfMemory
	}
}

// lostExecutor is why the cluster took an executor away for its memory, or
// empty. A job that fails afterwards failed of that.
func lostExecutor(line string) string {
	if !strings.Contains(line, "ExecutorLostFailure") && !strings.Contains(line, "Lost executor") {
		return ""
	}
	for _, words := range memoryWords {
		if at := strings.Index(line, words); at >= 0 {
			return "an executor was lost: " + strings.TrimSpace(line[strings.LastIndex(line[:at], ":")+1:])
		}
	}
	return ""
}

// memoryWords are what YARN and Spark say of a container that took too much.
var memoryWords = []string{
	"killed by YARN for exceeding memory limits", "killed by YARN for exceeding physical memory limits",
	"exceeding virtual memory limits", "running beyond physical memory limits", "running beyond virtual memory limits",
	"java.lang.OutOfMemoryError", "due to memory", "OOMKilled",
}

// diagnosis is what YARN's diagnostics mean.
type diagnosis struct {
	words   string
	outcome run.Outcome
}

// diagnoses are YARN's words for how a container ended: the numbers are
// ContainerExitStatus's.
var diagnoses = []diagnosis{
	{"Container preempted by scheduler", run.OutcomePreempted},
	{"exitCode: -102", run.OutcomePreempted},
	{"preempted", run.OutcomePreempted},
	{"Container released on a *lost* node", run.OutcomeNodeLost},
	{"exitCode: -100", run.OutcomeNodeLost},
	{"AM Container for appattempt expired", run.OutcomeNodeLost},
	{"ApplicationMaster for attempt", run.OutcomeNodeLost}, // "... timed out": its node is silent
	{"exitCode: -103", run.OutcomeOutOfMemory},
	{"exitCode: -104", run.OutcomeOutOfMemory},
}

// meaning is the outcome of an application that YARN ended, from its final
// state, final status and diagnostics; empty: the exit code says it.
func meaning(state, final, diagnostics string) run.Outcome {
	if final == "SUCCEEDED" {
		return ""
	}
	if state == "KILLED" || final == "KILLED" {
		return run.OutcomeCanceled
	}
	for _, words := range memoryWords {
		if strings.Contains(diagnostics, words) {
			return run.OutcomeOutOfMemory
		}
	}
	for _, d := range diagnoses {
		if strings.Contains(diagnostics, d.words) {
			return d.outcome
		}
	}
	return ""
}

var statusWords = regexp.MustCompile(`(?:User application exited with status|exitCode:|Application failed with status) (-?[0-9]+)`)
