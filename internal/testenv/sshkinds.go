package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// SSHKind is a kind of machine, of user or of login. Whatever works over SSH must work with all of them.
type SSHKind struct {
	Name   string
	Server SSHOptions
	User   SSHUser
	Login  SSHLogin
}

// SSHLogin is how a user gets in.
type SSHLogin string

// The ways in.
const (
	LoginKey        SSHLogin = ""
	LoginPassword   SSHLogin = "password"
	LoginPassphrase SSHLogin = "passphrase" // of an encrypted key
	LoginAgent      SSHLogin = "agent"      // has the key; no file of it
	LoginJump       SSHLogin = "jump"       // through two other machines; the first takes only a password
	LoginCommand    SSHLogin = "command"    // a ProxyCommand
)

// noise is what people have in the files that their shells read.
const noise = "echo Welcome to gpubox; echo You have mail >&2; printf 'no newline'; stty -a; set -x\n"

const (
	kindPassword   = "open sesame"
	kindPassphrase = "correct horse"
)

// SSHKinds are all kinds, the plain one first.
func SSHKinds() []SSHKind {
	password := SSHUser{Password: kindPassword}
	return []SSHKind{
		{Name: "key"},
		{Name: "password", User: password, Login: LoginPassword},
		{Name: "keyboard-interactive", Server: SSHOptions{KeyboardInteractive: true}, User: password, Login: LoginPassword},
		{Name: "passphrase", User: SSHUser{Passphrase: kindPassphrase}, Login: LoginPassphrase},
		{Name: "agent", Login: LoginAgent},
		{Name: "jump hosts", Login: LoginJump},
		{Name: "ProxyCommand", Login: LoginCommand},
		{Name: "dash", User: SSHUser{Shell: "/bin/dash"}},
		{Name: "fish", User: SSHUser{Shell: "/usr/bin/fish", Files: map[string]string{".config/fish/config.fish": "echo hello; echo oh >&2\n"}}},
		{Name: "tcsh", User: SSHUser{Shell: "/bin/tcsh", Files: map[string]string{".cshrc": "echo hello\nalias sh false\n"}}},
		{Name: "noisy bashrc", User: SSHUser{Files: map[string]string{".bashrc": noise}}},
		{Name: "home on another file system", User: SSHUser{OtherDisk: 512 << 20}},
		{Name: "one session", Server: SSHOptions{MaxSessions: 1}},
		{Name: "no SFTP", Server: SSHOptions{NoSFTP: true}},
	}
}

// SSHBox is a machine of a kind with all that is needed to get in; what is empty is not needed.
type SSHBox struct {
	Server  *SSHServer
	Account SSHAccount
	// KnownHosts knows the machine and those on the way; Config is an ssh configuration for its address.
	KnownHosts, Config string
	// Identity is a private key's file, AgentSocket where an ssh-agent listens.
	Identity, AgentSocket string
	Password, Passphrase  string
	// JumpPassword is that of the machine on the way that JumpHost names.
	JumpHost, JumpPassword string
}

// Open starts a machine of the kind.
func (k SSHKind) Open(t testing.TB) *SSHBox {
	t.Helper()
	b := &SSHBox{Server: SSHD(t, k.Server)}
	b.Account = b.Server.User(k.User)
	b.KnownHosts, b.Config, b.Identity = filepath.Join(b.Server.Dir, "all_hosts"), filepath.Join(b.Server.Dir, "config"), b.Account.Key
	known, config := []string{b.Server.KnownHosts}, ""
	switch k.Login {
	case LoginKey:
	case LoginPassword:
		b.Identity, b.Password = "", k.User.Password
	case LoginPassphrase:
		b.Passphrase = k.User.Passphrase
	case LoginAgent:
		b.Identity, b.AgentSocket = "", agentWith(t, b.Account.Key)
	case LoginJump:
		door := SSHD(t, SSHOptions{Config: []string{"PubkeyAuthentication no"}})
		in := door.User(SSHUser{Shell: "/usr/sbin/nologin", Password: kindPassword})
		hall := SSHD(t, SSHOptions{})
		on := hall.User(SSHUser{Shell: "/usr/sbin/nologin"})
		b.JumpHost, b.JumpPassword = "door", kindPassword
		config = "Host 127.0.0.1\n  ProxyJump door,hall\n" + hostLines("door", door, in) + hostLines("hall", hall, on) + "  IdentityFile " + on.Key + "\n"
		known = append(known, door.KnownHosts, hall.KnownHosts)
	case LoginCommand:
		door := SSHD(t, SSHOptions{})
		in := door.User(SSHUser{Shell: "/usr/sbin/nologin"})
		host, port, _ := net.SplitHostPort(door.Address)
		config = fmt.Sprintf("Host 127.0.0.1\n  ProxyCommand ssh -F none -o BatchMode=yes -o UserKnownHostsFile=%s -i %s -p %s -W %%h:%%p %s@%s\n",
			door.KnownHosts, in.Key, port, in.Name, host)
	}
	config += "Host *\n  UserKnownHostsFile " + b.KnownHosts + "\n"
	if err := errors.Join(joinFiles(b.KnownHosts, known), os.WriteFile(b.Config, []byte(config), 0o600)); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return b
}

// hostLines describe a machine in an ssh configuration.
func hostLines(name string, s *SSHServer, a SSHAccount) string {
	host, port, _ := net.SplitHostPort(s.Address)
	return fmt.Sprintf("Host %s\n  HostName %s\n  Port %s\n  User %s\n", name, host, port, a.Name)
}

func joinFiles(to string, from []string) error {
	var all []byte
	for _, name := range from {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		all = append(all, data...)
	}
	return os.WriteFile(to, all, 0o644)
}

// agentWith is a real ssh-agent that has a key.
func agentWith(t testing.TB, key string) (socket string) {
	t.Helper()
	socket, err := startAgent(t, key)
	if err != nil {
		t.Fatalf("testenv: ssh-agent: %v", err)
	}
	return socket
}

func startAgent(t testing.TB, key string) (string, error) {
	dir, err := os.MkdirTemp("", "rt-agent-") // a socket's name must be short
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it would not end by itself
	add := func(ctx context.Context) bool {
		c := exec.CommandContext(ctx, "ssh-add", "-q", key)
		c.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		return c.Run() == nil
	}
	for !add(t.Context()) {
		if err := pause(t.Context()); err != nil {
			return "", err
		}
	}
	return socket, nil
}
