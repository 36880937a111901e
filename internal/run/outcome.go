package run

import "slices"

// Outcome is why an attempt, and in the end its run, ended: a closed list.
type Outcome string

// The outcomes.
const (
	OutcomeCompleted         Outcome = "completed"
	OutcomeScriptFailed      Outcome = "script_failed"
	OutcomeOutOfMemory       Outcome = "out_of_memory"
	OutcomeTimedOut          Outcome = "timed_out"
	OutcomeCanceled          Outcome = "canceled"
	OutcomePreempted         Outcome = "preempted"
	OutcomeNodeLost          Outcome = "node_lost"
	OutcomeEnvironmentFailed Outcome = "environment_failed"
	OutcomeTargetUnreachable Outcome = "target_unreachable"
	OutcomeInternalError     Outcome = "internal_error"
)

// Budget is which restart allowance an outcome draws from.
type Budget string

// The budgets: none means the outcome is never followed by another attempt.
const (
	NoBudget        Budget = ""
	PreemptedBudget Budget = "preempted"
	FailedBudget    Budget = "failed"
)

// Meaning is everything that derives from an outcome.
type Meaning struct {
	// State the run ends in when no attempt follows.
	State State
	// Budget of restarts that the outcome draws from.
	Budget Budget
	// Exit is the exit code of `runner submit` and `runner wait`.
	Exit int
	// Words say the outcome to a person.
	Words string
	// Hint says what a person can do. Empty when there is nothing to do.
	Hint string
}

// meanings is the one table of what each outcome means.
var meanings = map[Outcome]Meaning{
	OutcomeCompleted:    {State: Completed, Exit: 0, Words: "completed"},
	OutcomeScriptFailed: {State: Failed, Budget: FailedBudget, Exit: 1, Words: "the script failed"},
	OutcomeOutOfMemory: {
		State: Failed, Budget: FailedBudget, Exit: 1, Words: "out of memory",
		Hint: "ask for more with resources.memory, or make batches smaller",
	},
	OutcomeTimedOut: {
		State: Failed, Budget: FailedBudget, Exit: 1, Words: "ran longer than max_run_duration",
		Hint: "raise max_run_duration, or save checkpoints and allow restart.failed",
	},
	OutcomeCanceled: {State: Canceled, Exit: 130, Words: "canceled"},
	OutcomePreempted: {
		State: Failed, Budget: PreemptedBudget, Exit: 1, Words: "preempted, with no restart left",
		Hint: "raise restart.preempted, or use vm_priority: dedicated",
	},
	OutcomeNodeLost: {
		State: Failed, Budget: PreemptedBudget, Exit: 1, Words: "its machine was lost, with no restart left",
		Hint: "raise restart.preempted",
	},
	OutcomeEnvironmentFailed: {
		State: Failed, Exit: 4, Words: "the environment could not be made",
		Hint: "see what the tools said: runner logs RUN",
	},
	OutcomeTargetUnreachable: {
		State: Failed, Exit: 3, Words: "the compute target could not be reached",
		Hint: "runner doctor checks it",
	},
	OutcomeInternalError: {State: Failed, Exit: 5, Words: "internal error", Hint: "see agent.log in RUNNER_HOME"},
}

// Outcomes lists all outcomes, sorted.
func Outcomes() []Outcome {
	all := make([]Outcome, 0, len(meanings))
	for o := range meanings {
		all = append(all, o)
	}
	slices.Sort(all)
	return all
}

// Known reports whether o is in the closed list.
func (o Outcome) Known() bool { _, ok := meanings[o]; return ok }

// Meaning of o. An unknown outcome means what OutcomeInternalError means.
func (o Outcome) Meaning() Meaning {
	if m, ok := meanings[o]; ok {
		return m
	}
	return meanings[OutcomeInternalError]
}
