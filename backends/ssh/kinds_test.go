package ssh_test

import (
	"testing"

	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/testenv"
)

// noise is what people have in the files that their shells read.
const noise = "echo Welcome to gpubox; echo You have mail >&2; printf 'no newline'; stty -a; set -x\n"

// Machines, users and shells of other kinds.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   testenv.SSHOptions
		user     testenv.SSHUser
		subjects []string
	}{
		{name: "one session", server: testenv.SSHOptions{MaxSessions: 1}, subjects: []string{"start", "logs", "stop", "outputs"}},
		{name: "no SFTP", server: testenv.SSHOptions{NoSFTP: true}, subjects: []string{"start", "prepare", "outputs", "release"}},
		{name: "dash", user: testenv.SSHUser{Shell: "/bin/dash"}, subjects: []string{"start", "script", "bytes"}},
		{
			name: "fish", user: testenv.SSHUser{Shell: "/usr/bin/fish", Files: map[string]string{".config/fish/config.fish": "echo hello; echo oh >&2\n"}},
			subjects: []string{"start", "script", "bytes"},
		},
		{
			name: "tcsh", user: testenv.SSHUser{Shell: "/bin/tcsh", Files: map[string]string{".cshrc": "echo hello\nalias sh false\n"}},
			subjects: []string{"start", "script", "bytes"},
		},
		{name: "noisy bashrc", user: testenv.SSHUser{Files: map[string]string{".bashrc": noise}}, subjects: []string{"start", "logs", "outputs"}},
		{name: "home on another file system", user: testenv.SSHUser{OtherDisk: 512 << 20}, subjects: []string{"start", "outputs", "release"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, c.server, c.user)
			for _, subject := range c.subjects {
				backendtest.RunSubject(t, m.target(t), subject)
			}
		})
	}
}
