package ssh_test

import (
	"os"
	"testing"

	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/testenv"
)

// again is what logging in again is about.
var again = []string{"lost/agent restarted", "lost/cut off"}

// differs has for each kind of machine, user and login the subjects of the
// suite in which it differs from the others.
var differs = map[string][]string{
	"password":                    again,
	"keyboard-interactive":        again,
	"passphrase":                  again,
	"agent":                       again,
	"jump hosts":                  again,
	"ProxyCommand":                again,
	"dash":                        {"bytes"},
	"fish":                        {"bytes", "script"},
	"tcsh":                        {"bytes"},
	"noisy bashrc":                {"logs"},
	"home on another file system": {"release"},
	"one session":                 {"logs", "observe"},
	"no SFTP":                     {"outputs"},
}

// whole says whether all kinds go through all of the suite: make conformance.
func whole() bool { return os.Getenv("RUNNER_CONFORMANCE") == "full" }

// TestKinds is the suite with machines, users and logins of all kinds: by
// default the subjects in which each differs.
func TestKinds(t *testing.T) {
	for _, kind := range testenv.SSHKinds()[1:] { // TestProcess has the plain one, whole
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			subjects := differs[kind.Name]
			if len(subjects) == 0 {
				t.Fatal("nobody said in which subjects it differs")
			}
			m := newMachineOf(t, kind)
			if whole() {
				backendtest.Run(t, m.target(t), nil)
				return
			}
			for _, subject := range subjects {
				backendtest.RunSubject(t, m.target(t), subject)
			}
		})
	}
}
