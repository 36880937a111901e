package testenv

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSSHDLetsTheBareToolIn(t *testing.T) {
	var account SSHAccount
	var dir string
	t.Run("up", func(t *testing.T) {
		s := SSHD(t, SSHOptions{})
		account, dir = s.User(SSHUser{Shell: "/bin/dash"}), s.Dir
		line := Cut(t, s.Address)
		ssh := func(address string) *exec.Cmd {
			return exec.CommandContext(t.Context(), "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "HostKeyAlias="+known(t, s), "-o", "UserKnownHostsFile="+s.KnownHosts,
				"-o", "IdentitiesOnly=yes", "-i", account.Key, "-p", portOf(t, address), account.Name+"@127.0.0.1", "id -un")
		}
		for _, address := range []string{s.Address, line.Address} {
			got, err := output(ssh(address))
			if err != nil {
				t.Fatal(err, s.Log())
			}
			if diff := cmp.Diff(account.Name+"\n", got); diff != "" {
				t.Error(diff)
			}
		}
		line.Refuse()
		if _, err := output(ssh(line.Address)); err == nil {
			t.Error("a refused line goes through")
		}
		line.Heal()
		line.ResetAfter(500)
		if _, err := output(ssh(line.Address)); err == nil {
			t.Error("a line that is reset goes through")
		}
		s.Stop()
		if _, err := output(ssh(s.Address)); err == nil {
			t.Error("a stopped server lets in")
		}
		s.Start()
		if _, err := output(ssh(s.Address)); err != nil {
			t.Error(err)
		}
	})
	if _, err := user.Lookup(account.Name); err == nil {
		t.Error("the user outlived its test")
	}
	for _, left := range []string{dir, filepath.Dir(account.Home)} {
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left behind: %s", left)
		}
	}
}

// known is the name under which the known_hosts file has the server.
func known(t *testing.T, s *SSHServer) string {
	t.Helper()
	return "[127.0.0.1]:" + portOf(t, s.Address)
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// What a test asks for counts, also where every server has a line of its own.
func TestSSHDTakesTheTestsLines(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"none", nil, "maxstartups 100:30:100"},
		{"its own", []string{"MaxStartups 1:100:1"}, "maxstartups 1:100:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := SSHD(t, SSHOptions{Config: c.lines})
			said, err := output(exec.CommandContext(t.Context(), sshdProgram, "-T", "-f", s.config()))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(strings.Split(said, "\n"), c.want) {
				t.Errorf("no line %q in\n%s", c.want, said)
			}
		})
	}
}
