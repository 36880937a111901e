package sparksubmit

import (
	"regexp"
	"strings"

	"github.com/runnerml/runner/internal/run"
)

// Spark's own ids: application_TIME_N on YARN, app-TIME-N at a standalone master.
var (
	idWords  = regexp.MustCompile(`(?:Application ID is assigned: |Submitted application |Connected to Spark cluster with app ID |Application report for )((?:application|app)[_-][0-9]+[_-][0-9]+)`)
	urlWords = regexp.MustCompile(`(?:tracking URL: |Bound SparkUI to [^ ]+, and started at |SparkUI available at |Bound [A-Z]+ to .* started at )(https?://[^\s,]+)`)
)

// failedWords are how YARN begins to say why it gave an application up; what
// follows the first line is the container's own output, which is the user's.
var failedWords = regexp.MustCompile(`^Application \S+ failed \d+ times (?:in previous \d+ milliseconds )?(?:\([^)]*\) )?due to (.*)`)

// containerWords are how a driver's container ended, and silentWords how one did
// whose node says nothing any more.
var (
	containerWords = regexp.MustCompile(`^AM Container for \S+ exited with\s+exitCode: (-?\d+)`)
	silentWords    = regexp.MustCompile(`^(?:ApplicationMaster for attempt \S+ timed out|AM Container for appattempt\S* expired|Error launching appattempt)`)
)

// containerCodes are ContainerExitStatus's, as far as they say more than that
// the script ended.
var containerCodes = map[string]run.Outcome{
	"-100": run.OutcomeNodeLost,    // ABORTED: its node was lost
	"-101": run.OutcomeNodeLost,    // DISKS_FAILED
	"-102": run.OutcomePreempted,   // PREEMPTED
	"-103": run.OutcomeOutOfMemory, // KILLED_EXCEEDED_VMEM
	"-104": run.OutcomeOutOfMemory, // KILLED_EXCEEDED_PMEM
	"-108": run.OutcomePreempted,   // KILLED_BY_CONTAINER_SCHEDULER
}

// lifetimeWords are YARN's for an application that outlived its queue's limit.
const lifetimeWords = "exceeding its lifetime period"

// meaning is the outcome of an application that YARN ended, from its final
// state, final status and diagnostics; empty: the exit code says it. What a
// script throws stands in diagnostics, too, and means nothing here.
func meaning(state, final, diagnostics string) run.Outcome {
	switch {
	case final == "SUCCEEDED":
		return ""
	case state == "KILLED" && strings.Contains(diagnostics, lifetimeWords):
		return run.OutcomeTimedOut
	case state == "KILLED", final == "KILLED":
		return run.OutcomeCanceled
	}
	m := failedWords.FindStringSubmatch(strings.TrimSpace(diagnostics))
	if m == nil {
		return ""
	}
	if silentWords.MatchString(m[1]) {
		return run.OutcomeNodeLost
	}
	if code := containerWords.FindStringSubmatch(m[1]); code != nil {
		return containerCodes[code[1]]
	}
	return ""
}

var statusWords = regexp.MustCompile(`(?:User application exited with status|exitCode:|Application failed with status) (-?[0-9]+)`)
