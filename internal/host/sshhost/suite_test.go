package sshhost_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/hosttest"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

// noise is what people have in the files that their shells read.
const noise = `echo "Welcome to gpubox!"; echo "  You have mail. " >&2; printf 'no newline'; stty -a; export GREETING=from-rc
`

// TestSuite is all that a host must do, against servers and users of all kinds.
func TestSuite(t *testing.T) {
	for _, c := range []struct {
		name   string
		server testenv.SSHOptions
		user   testenv.SSHUser
		edit   func(*testing.T, *testenv.SSHServer, testenv.SSHAccount, *sshhost.Config)
	}{
		{name: "key"},
		{name: "password", user: testenv.SSHUser{Password: password}, edit: func(_ *testing.T, _ *testenv.SSHServer, _ testenv.SSHAccount, c *sshhost.Config) {
			c.IdentityFiles, c.Password = nil, withPassword
		}},
		{name: "dash", user: testenv.SSHUser{Shell: "/bin/dash"}},
		{name: "fish", user: testenv.SSHUser{Shell: "/usr/bin/fish", Files: map[string]string{".config/fish/config.fish": "echo hello from fish; echo oh >&2\n"}}},
		{name: "tcsh", user: testenv.SSHUser{Shell: "/bin/tcsh", Files: map[string]string{".cshrc": "echo hello from tcsh\nalias sh false\nset histchars\n"}}},
		{name: "noisy bashrc", user: testenv.SSHUser{Files: map[string]string{".bashrc": noise + "set -x\n"}}},
		{name: "no SFTP", server: testenv.SSHOptions{NoSFTP: true}},
		{name: "one session", server: testenv.SSHOptions{MaxSessions: 1}},
		// OpenSSH passes no signals to the command of a ForceCommand, as others never do.
		{name: "no signals", server: testenv.SSHOptions{Config: []string{`ForceCommand if [ "$SSH_ORIGINAL_COMMAND" = /usr/lib/openssh/sftp-server ]; then exec $SSH_ORIGINAL_COMMAND; else eval "$SSH_ORIGINAL_COMMAND"; fi`}}},
		{name: "home on another file system", user: testenv.SSHUser{OtherDisk: 64 << 20}},
		{name: "jump host", edit: throughJumpHost},
		{name: "keyboard-interactive", server: testenv.SSHOptions{KeyboardInteractive: true}, user: testenv.SSHUser{Password: password}, edit: func(_ *testing.T, _ *testenv.SSHServer, _ testenv.SSHAccount, c *sshhost.Config) {
			c.IdentityFiles, c.Password = nil, withPassword
		}},
		{name: "jump hosts with a password, then a key", edit: throughPasswordHost},
		{name: "ProxyCommand", edit: throughCommand},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testenv.SSHD(t, c.server)
			cfg := config(s, s.User(c.user))
			if c.edit != nil {
				a := s.User(c.user)
				cfg = config(s, a)
				c.edit(t, s, a, &cfg)
			}
			hosttest.Suite(t, func() host.Host {
				cfg.Root = newRoot()
				return open(t, cfg)
			})
		})
	}
}

// throughPasswordHost goes through two others; the first takes only a password.
func throughPasswordHost(t *testing.T, s *testenv.SSHServer, a testenv.SSHAccount, c *sshhost.Config) {
	throughJumpHost(t, s, a, c)
	door := testenv.SSHD(t, testenv.SSHOptions{Config: []string{"PubkeyAuthentication no"}})
	d := door.User(testenv.SSHUser{Shell: "/usr/sbin/nologin", Password: password})
	c.Jumps = append([]string{d.Name + "@" + door.Address}, c.Jumps...)
	c.KnownHosts = append(c.KnownHosts, door.KnownHosts)
	c.Password = func(_ context.Context, l sshhost.Login) (string, error) {
		if l.User != d.Name || !l.Jump || l.Address != door.Address {
			return "", sshhost.ErrNoSecret
		}
		return password, nil
	}
}

// throughCommand goes through ssh itself.
func throughCommand(t *testing.T, s *testenv.SSHServer, a testenv.SSHAccount, c *sshhost.Config) {
	bastion := testenv.SSHD(t, testenv.SSHOptions{})
	b := bastion.User(testenv.SSHUser{Shell: "/usr/sbin/nologin"})
	host, port, _ := net.SplitHostPort(bastion.Address)
	name := filepath.Join(t.TempDir(), "config")
	write(t, name, fmt.Sprintf("Host 127.0.0.1\n  ProxyCommand ssh -F none -o BatchMode=yes -i %s -o UserKnownHostsFile=%s -p %s -W %%h:%%p %s@%s\n",
		b.Key, bastion.KnownHosts, port, b.Name, host), 0o600)
	c.ConfigFiles = []string{name}
}

// throughJumpHost goes through another server, whose user has no rights here.
func throughJumpHost(t *testing.T, _ *testenv.SSHServer, _ testenv.SSHAccount, c *sshhost.Config) {
	bastion := testenv.SSHD(t, testenv.SSHOptions{})
	b := bastion.User(testenv.SSHUser{Shell: "/usr/sbin/nologin"})
	c.Jumps = []string{b.Name + "@" + bastion.Address}
	c.IdentityFiles = append(c.IdentityFiles, b.Key)
	c.KnownHosts = append(c.KnownHosts, bastion.KnownHosts)
}
