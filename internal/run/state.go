package run

import (
	"fmt"
	"slices"
)

// State is where a run, or an attempt of it, is in its life.
//
//	         submit
//	           |
//	        Queued <----------------------------+
//	           | slot granted                   | preempted or node lost: restart
//	       Preparing  (environment, source)     | (attempt n+1, same run, same
//	           |                                |  checkpoint directory)
//	        Starting                            |
//	           |                                |
//	        Running                             |
//	           | ended                          |
//	       Finalizing (outputs, logs) ----------+
//	           |
//	Completed | Failed | Canceled
type State string

// The states, in the order of a life.
const (
	Queued     State = "Queued"
	Preparing  State = "Preparing"
	Starting   State = "Starting"
	Running    State = "Running"
	Finalizing State = "Finalizing"
	Completed  State = "Completed"
	Failed     State = "Failed"
	Canceled   State = "Canceled"
)

// States lists all states in the order of a life.
var States = []State{Queued, Preparing, Starting, Running, Finalizing, Completed, Failed, Canceled}

// next is the table of lawful changes. Every state before Finalizing may go
// to Finalizing: that is where an attempt that failed, was canceled or lost
// its node is cleaned up, whatever it had reached. A Queued run has nothing to
// clean up and may be canceled, or fail, at once.
var next = map[State][]State{
	Queued:     {Preparing, Canceled, Failed},
	Preparing:  {Starting, Finalizing},
	Starting:   {Running, Finalizing},
	Running:    {Finalizing},
	Finalizing: {Queued, Completed, Failed, Canceled},
}

// Known reports whether s is one of States.
func (s State) Known() bool { return slices.Contains(States, s) }

// Ended reports whether s is final: nothing follows Completed, Failed and
// Canceled.
func (s State) Ended() bool { return s == Completed || s == Failed || s == Canceled }

// Holds reports whether a run in state s holds resources of its target.
func (s State) Holds() bool {
	return s == Preparing || s == Starting || s == Running || s == Finalizing
}

// TransitionError is a change of state that the table does not have.
type TransitionError struct{ From, To State }

func (e *TransitionError) Error() string {
	return fmt.Sprintf("a run cannot go from %s to %s", e.From, e.To)
}

// Check returns a *TransitionError when a run may not go from one state to
// the other.
func Check(from, to State) error {
	if slices.Contains(next[from], to) {
		return nil
	}
	return &TransitionError{From: from, To: to}
}
