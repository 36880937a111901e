package run

import (
	"fmt"

	"github.com/runnerml/runner/runconfig"
)

// DefaultPreemptedRestarts is how many times a preempted run, or one whose
// node was lost, is restarted when its spec does not say.
const DefaultPreemptedRestarts = 10

// Decision is what follows an ended attempt.
type Decision struct {
	// Restart: the run goes back to Queued for another attempt.
	Restart bool
	// State is the run's next state: Queued, or a final one.
	State State
	// Why says it in words, for the event log.
	Why string
}

// Decide says what follows the run's last attempt, which ended with outcome.
// attempts are all attempts including that one; canceled tells that somebody
// wished the run to end, which no restart overrides.
func Decide(attempts []Attempt, outcome Outcome, policy runconfig.Restart, canceled bool) Decision {
	m := outcome.Meaning()
	if outcome == OutcomeCompleted || m.Budget == NoBudget {
		return Decision{State: m.State, Why: m.Words}
	}
	if canceled {
		return Decision{State: Canceled, Why: "canceled"}
	}
	allowed := allowance(m.Budget, policy)
	used := -1 // the attempt that just ended draws the first unit
	for _, a := range attempts {
		if a.Outcome != nil && a.Outcome.Meaning().Budget == m.Budget {
			used++
		}
	}
	if used < allowed {
		return Decision{
			Restart: true, State: Queued,
			Why: fmt.Sprintf("restart %d of %d: %s", used+1, allowed, restartWords(outcome)),
		}
	}
	return Decision{State: m.State, Why: m.Words}
}

func allowance(b Budget, policy runconfig.Restart) int {
	switch b {
	case PreemptedBudget:
		if policy.Preempted != nil {
			return *policy.Preempted
		}
		return DefaultPreemptedRestarts
	case FailedBudget:
		if policy.Failed != nil {
			return *policy.Failed
		}
	case NoBudget:
	}
	return 0
}

func restartWords(o Outcome) string {
	switch o {
	case OutcomePreempted:
		return "preempted"
	case OutcomeNodeLost:
		return "its machine was lost"
	default:
		return o.Meaning().Words
	}
}
