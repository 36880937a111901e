package backendtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
)

// Target describes a real target to the suite.
type Target struct {
	// New opens the backend. Called again on the same target it is an agent
	// that was started anew: nothing but the target remembers anything.
	New func(t testing.TB) backends.Backend
	// Adapt changes an attempt into one that the target can carry out, and that
	// does the same; nil: it can as it is.
	Adapt func(a *backends.Attempt)
	// Environment with a POSIX shell, the usual small tools and Python 3.
	Environment *environment.Resolved
	// Snapshot stores a picture of dir where the backend looks for it, and
	// gives its digest.
	Snapshot func(t testing.TB, dir string) string
	// Home is where Collect brings things; nil: a directory of the test's own.
	Home func(t testing.TB, ref backends.Ref) *artifact.Directory
	// Sink is the way to Home that Collect is given; nil: Home itself.
	Sink func(home *artifact.Directory) artifact.Sink
	// Traces lists what there is of an attempt on the target: processes,
	// containers, directories. After Release it must be empty.
	Traces func(t testing.TB, ref backends.Ref) []string
	// Disk are directories on this computer that hold all that the backend
	// writes, so that secrets are looked for there.
	Disk []string
	// Inspect is what the target's engine tells anybody who asks about the
	// attempt (docker inspect, scontrol show job); nil: nothing.
	Inspect func(t testing.TB, ref backends.Ref) string
	// Vanish makes the target forget a running attempt, as a lost node would;
	// nil leaves the case out.
	Vanish func(t testing.TB, ref backends.Ref)
	// CutOff makes the target unable to answer until the returned function is
	// called; nil leaves the case out.
	CutOff func(t testing.TB) (restore func())
	// Child says, in JSON, where a copy of the test binary finds the same target
	// (see Main); nil leaves out the cases that need one.
	Child any
	// Many is how many attempts run at once in the case that needs many; zero: 50.
	Many int
	// Preamble is what the target's own programs write to an attempt's log before
	// the script does; usually nothing.
	Preamble string
	// Startup is how long a script may take to begin once its attempt has.
	Startup time.Duration
	// SignalsAsCodes says that the target reports a death by signal as the exit
	// code 128 + number and cannot tell the two apart; why is in the words.
	SignalsAsCodes string
	// NoMemoryLimit says that the target does not hold attempts to
	// resources.memory; why is in the words.
	NoMemoryLimit string
}

// Case is one case of the suite.
type Case struct {
	Name string
	run  func(w *world)
}

// Cases lists the suite.
func Cases() []Case {
	return slices.Concat(startCases(), endCases(), scriptCases(), byteCases(), logCases(), stopCases(), outputCases(),
		lostCases(), secretCases(), observeCases(), prepareCases(), releaseCases(), copyCases())
}

// Run runs all cases against the target, except those named in without, each
// of which needs its reason.
func Run(t *testing.T, target Target, without map[string]string) {
	t.Helper()
	for name := range without {
		if !slices.ContainsFunc(Cases(), func(c Case) bool { return c.Name == name }) {
			t.Errorf("no case is called %q", name)
		}
	}
	runCases(t, target, Cases(), without)
}

// RunSubject runs the cases of one subject, the word before the slash, or the
// one case of that name.
func RunSubject(t *testing.T, target Target, subject string) {
	t.Helper()
	cases := slices.DeleteFunc(Cases(), func(c Case) bool {
		return c.Name != subject && !strings.HasPrefix(c.Name, subject+"/")
	})
	if len(cases) == 0 {
		t.Fatalf("no case is about %q", subject)
	}
	runCases(t, target, cases, nil)
}

func runCases(t *testing.T, target Target, cases []Case, without map[string]string) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if why, out := without[c.Name]; out {
				t.Skip(why)
			}
			c.run(newWorld(t, target))
		})
	}
}
