package ssh_test

import (
	"os"
	"testing"

	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/testenv"
)

// noise is what people have in the files that their shells read.
const noise = "echo Welcome to gpubox; echo You have mail >&2; printf 'no newline'; stty -a; set -x\n"

// whole is all of the subjects when they are asked for: make conformance. By
// default each kind of machine has those in which it differs.
func whole(subjects, full []string) []string {
	if os.Getenv("RUNNER_CONFORMANCE") == "full" {
		return append(subjects, full...)
	}
	return subjects
}

// Machines, users and shells of other kinds.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   testenv.SSHOptions
		user     testenv.SSHUser
		subjects []string
		full     []string // also these, with RUNNER_CONFORMANCE=full
	}{
		{name: "one session", server: testenv.SSHOptions{MaxSessions: 1}, subjects: []string{"logs", "observe"}, full: []string{"start", "stop", "outputs"}},
		{name: "no SFTP", server: testenv.SSHOptions{NoSFTP: true}, subjects: []string{"outputs"}, full: []string{"start", "prepare", "release"}},
		{name: "dash", user: testenv.SSHUser{Shell: "/bin/dash"}, subjects: []string{"bytes"}, full: []string{"start", "script"}},
		{
			name: "fish", user: testenv.SSHUser{Shell: "/usr/bin/fish", Files: map[string]string{".config/fish/config.fish": "echo hello; echo oh >&2\n"}},
			subjects: []string{"bytes", "script"}, full: []string{"start"},
		},
		{
			name: "tcsh", user: testenv.SSHUser{Shell: "/bin/tcsh", Files: map[string]string{".cshrc": "echo hello\nalias sh false\n"}},
			subjects: []string{"bytes"}, full: []string{"start", "script"},
		},
		{name: "noisy bashrc", user: testenv.SSHUser{Files: map[string]string{".bashrc": noise}}, subjects: []string{"logs"}, full: []string{"start", "outputs"}},
		{name: "home on another file system", user: testenv.SSHUser{OtherDisk: 512 << 20}, subjects: []string{"release"}, full: []string{"start", "outputs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.server, c.user)
			for _, subject := range whole(c.subjects, c.full) {
				backendtest.RunSubject(t, m.target(t), subject)
			}
		})
	}
}
