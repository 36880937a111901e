package sshhost_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

// TestLogin shows each way in that is not in TestSuite.
func TestLogin(t *testing.T) {
	s := testenv.SSHD(t, testenv.SSHOptions{})
	plain := s.User(testenv.SSHUser{Password: password})
	locked := s.User(testenv.SSHUser{Passphrase: "open sesame"})
	for _, c := range []struct {
		name string
		user testenv.SSHAccount
		edit func(*testing.T, *sshhost.Config)
	}{
		{"key with passphrase", locked, func(_ *testing.T, c *sshhost.Config) {
			c.Passphrase = func(context.Context, string) (string, error) { return "open sesame", nil }
		}},
		{"agent", locked, func(t *testing.T, c *sshhost.Config) {
			c.IdentityFiles, c.IdentitiesOnly, c.AgentSocket = nil, false, agent(t, plain.Key, locked.Key, "open sesame")
		}},
		{"agent, for an encrypted key file", locked, func(t *testing.T, c *sshhost.Config) {
			c.AgentSocket = agent(t, plain.Key, locked.Key, "open sesame")
		}},
		{"alias of the ssh configuration", plain, func(t *testing.T, c *sshhost.Config) {
			hostName, port, _ := net.SplitHostPort(s.Address)
			c.ConfigFiles = []string{filepath.Join(t.TempDir(), "config")}
			write(t, c.ConfigFiles[0], fmt.Sprintf("Host gpu*\n  HostName %s\n  Port %s\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n  IdentitiesOnly yes\n",
				hostName, port, plain.Name, plain.Key, s.KnownHosts), 0o600)
			c.Address, c.IdentityFiles, c.IdentitiesOnly, c.KnownHosts = "gpubox", nil, false, nil
		}},
		{"HostKeyAlias", plain, func(t *testing.T, c *sshhost.Config) {
			dir := t.TempDir()
			known, err := os.ReadFile(s.KnownHosts)
			if err != nil {
				t.Fatal(err)
			}
			_, key, _ := strings.Cut(string(known), " ")
			write(t, dir+"/known", "the-gpubox "+key, 0o600)
			write(t, dir+"/config", "Host 127.0.0.1\n  HostKeyAlias the-gpubox\n", 0o600)
			c.ConfigFiles, c.KnownHosts = []string{dir + "/config"}, []string{dir + "/known"}
		}},
		{"a key that nobody can open is left out", plain, func(t *testing.T, c *sshhost.Config) {
			// The server takes both; ssh's own configuration names them.
			s.Admit(testenv.SSHAccount{Name: plain.Name, Key: both(t, plain.Key, locked.Key)})
			c.ConfigFiles, c.IdentityFiles, c.IdentitiesOnly = []string{filepath.Join(t.TempDir(), "config")}, nil, false
			write(t, c.ConfigFiles[0], fmt.Sprintf("IdentityFile %s\nIdentityFile %s\n", locked.Key, plain.Key), 0o600)
			c.Passphrase = func(context.Context, string) (string, error) { return "", sshhost.ErrNoSecret }
		}},
		{"pinned host key", plain, func(_ *testing.T, c *sshhost.Config) { c.KnownHosts, c.HostKey = []string{}, s.Fingerprint }},
		{"pinned host key that is not the server's favourite", plain, func(t *testing.T, c *sshhost.Config) {
			c.KnownHosts, c.HostKey = []string{}, ecdsaKey(t, s)
		}},
		{"host key seen before", plain, func(_ *testing.T, c *sshhost.Config) { c.KnownHosts, c.SeenKey = []string{}, s.Fingerprint }},
		{"host key seen before that is not the server's favourite", plain, func(t *testing.T, c *sshhost.Config) {
			c.KnownHosts, c.SeenKey = []string{}, ecdsaKey(t, s)
		}},
		{"a file overrules what was seen before", plain, func(_ *testing.T, c *sshhost.Config) { c.SeenKey = "SHA256:AAAA" }},
		{"unknown host key that somebody accepts", plain, func(t *testing.T, c *sshhost.Config) {
			c.KnownHosts = []string{}
			c.UnknownHostKey = func(_ context.Context, e *sshhost.HostKeyError) error {
				if e.Fingerprint == "" || e.Changed || !strings.Contains(e.Line, e.Type) {
					t.Errorf("asked %+v", e)
				}
				return nil
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s, c.user)
			c.edit(t, &cfg)
			h := open(t, cfg)
			if err := h.Run(t.Context(), host.Command{Argv: []string{"true"}}); err != nil {
				t.Error(err)
			}
			if h.User() != c.user.Name {
				t.Errorf("user %q", h.User())
			}
			if shown, line := h.HostKey(); !strings.HasPrefix(shown, "SHA256:") || line == "" {
				t.Errorf("host key %q %q", shown, line)
			}
		})
	}
}

// both is a key file with two public halves.
func both(t *testing.T, one, other string) string {
	t.Helper()
	var public []byte
	for _, key := range []string{one, other} {
		data, err := os.ReadFile(key + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		public = append(public, data...)
	}
	name := filepath.Join(t.TempDir(), "key")
	write(t, name+".pub", string(public), 0o600)
	return name
}

// agent is a real ssh-agent that has keys; the last has a passphrase.
func agent(t *testing.T, plain, locked, passphrase string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-") //nolint:usetesting // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "the agent", func() bool { // it listens a moment after its socket is there
		c, err := net.Dial("unix", socket)
		return err == nil && c.Close() == nil
	})
	write(t, dir+"/ask", "#!/bin/sh\necho '"+passphrase+"'\n", 0o700)
	for _, key := range []string{plain, locked} {
		add := exec.Command("ssh-add", key)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket, "SSH_ASKPASS="+dir+"/ask", "SSH_ASKPASS_REQUIRE=force")
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v\n%s", err, out)
		}
	}
	return socket
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// TestRefused is what cannot work, each with its own error and no secret in it.
func TestRefused(t *testing.T) {
	const secret = "s3cr3t-w0rd"
	s := testenv.SSHD(t, testenv.SSHOptions{})
	plain := s.User(testenv.SSHUser{Password: password})
	locked := s.User(testenv.SSHUser{Passphrase: "open sesame"})
	stranger := testenv.SSHD(t, testenv.SSHOptions{})
	nothing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedPort := nothing.Addr().String()
	if err := nothing.Close(); err != nil {
		t.Fatal(err)
	}
	silent := testenv.Cut(t, s.Address)
	silent.Stall()
	say := func(word string) func(context.Context, sshhost.Login) (string, error) {
		return func(context.Context, sshhost.Login) (string, error) { return word, nil }
	}
	for _, c := range []struct {
		name string
		user testenv.SSHAccount
		edit func(*testing.T, *sshhost.Config)
		is   func(error) bool
		says []string
	}{
		{
			"wrong password", plain, func(_ *testing.T, c *sshhost.Config) { c.IdentityFiles, c.Password = nil, say(secret) },
			isA[*sshhost.AuthError],
			[]string{plain.Name, "password"},
		},
		{
			"wrong key", plain, func(_ *testing.T, c *sshhost.Config) {
				c.IdentityFiles = []string{locked.Key}
				c.Passphrase = passphrase("open sesame")
			},
			isA[*sshhost.AuthError],
			[]string{locked.Key, "SHA256:"},
		},
		{
			"nothing to show", plain, func(_ *testing.T, c *sshhost.Config) { c.IdentityFiles = nil },
			isA[*sshhost.AuthError],
			[]string{"no key, agent or password"},
		},
		{
			"wrong passphrase", locked, func(_ *testing.T, c *sshhost.Config) { c.Passphrase = passphrase(secret) },
			isA[*sshhost.KeyFileError],
			[]string{locked.Key, "does not open it"},
		},
		{"no passphrase", locked, func(*testing.T, *sshhost.Config) {}, isA[*sshhost.KeyFileError], []string{"encrypted"}},
		{"key with wrong mode", plain, func(t *testing.T, c *sshhost.Config) {
			data, err := os.ReadFile(plain.Key)
			if err != nil {
				t.Fatal(err)
			}
			c.IdentityFiles = []string{filepath.Join(t.TempDir(), "id")}
			write(t, c.IdentityFiles[0], string(data), 0o644)
		}, isA[*sshhost.KeyFileError], []string{"others can read it (mode 0644)"}},
		{
			"no key file", plain, func(_ *testing.T, c *sshhost.Config) { c.IdentityFiles = []string{"/no/such/key"} },
			isA[*sshhost.KeyFileError],
			[]string{"/no/such/key"},
		},
		{
			"unknown host", plain, func(_ *testing.T, c *sshhost.Config) { c.KnownHosts = []string{} },
			isHostKey(false),
			[]string{"not known", "SHA256:"},
		},
		{"unknown host that somebody does not accept", plain, func(_ *testing.T, c *sshhost.Config) {
			c.KnownHosts, c.UnknownHostKey = []string{}, func(context.Context, *sshhost.HostKeyError) error { return errors.New("not mine") }
		}, isHostKey(false), []string{"not mine"}},
		{"changed host key", plain, func(t *testing.T, c *sshhost.Config) {
			known, err := os.ReadFile(stranger.KnownHosts)
			if err != nil {
				t.Fatal(err)
			}
			c.KnownHosts = []string{filepath.Join(t.TempDir(), "known")}
			write(t, c.KnownHosts[0], "# mine\n"+strings.ReplaceAll(string(known), "]:"+port(stranger.Address), "]:"+port(s.Address)), 0o600)
		}, isHostKey(true), []string{"HAS CHANGED", s.Fingerprint, stranger.Fingerprint, "/known:2"}},
		{
			"another host key than pinned", plain, func(_ *testing.T, c *sshhost.Config) { c.HostKey = stranger.Fingerprint },
			isHostKey(true),
			[]string{stranger.Fingerprint},
		},
		{
			"another host key than seen before", plain, func(_ *testing.T, c *sshhost.Config) {
				c.KnownHosts, c.SeenKey = []string{}, stranger.Fingerprint
				c.UnknownHostKey = func(context.Context, *sshhost.HostKeyError) error { return nil }
			},
			isHostKey(true),
			[]string{"HAS CHANGED", s.Fingerprint, stranger.Fingerprint, "(seen before)"},
		},
		{
			"nobody listens", plain, func(_ *testing.T, c *sshhost.Config) { c.Address = "x@" + closedPort },
			isA[*sshhost.UnreachableError],
			[]string{closedPort, "refused"},
		},
		{"nobody answers", plain, func(_ *testing.T, c *sshhost.Config) {
			c.Address, c.DialTimeout = "x@"+silent.Address, 200*time.Millisecond
		}, isA[*sshhost.UnreachableError], []string{"does not answer"}},
		{
			"no such host", plain, func(_ *testing.T, c *sshhost.Config) { c.Address = "x@no-such-host.invalid" },
			isA[*sshhost.UnreachableError],
			[]string{"no-such-host.invalid"},
		},
		{"no address", plain, func(_ *testing.T, c *sshhost.Config) { c.Address = "x@:22" }, func(error) bool { return true }, []string{"[USER@]HOST[:PORT]"}},
		{"a ProxyCommand that fails", plain, func(t *testing.T, c *sshhost.Config) {
			c.ConfigFiles = []string{filepath.Join(t.TempDir(), "config")}
			write(t, c.ConfigFiles[0], "Host *\n  ProxyCommand sh -c 'echo no way to %h >&2; exit 3'\n", 0o600)
		}, isA[*sshhost.UnreachableError], []string{"ProxyCommand", "no way to 127.0.0.1"}},
		{"not an SSH server", plain, func(t *testing.T, c *sshhost.Config) {
			web := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(web.Close)
			c.Address = "x@" + web.Listener.Addr().String()
		}, isA[*sshhost.UnreachableError], []string{"is no SSH server"}},
		{"a password, of which there is none", plain, func(_ *testing.T, c *sshhost.Config) {
			c.IdentityFiles = nil
			c.Password = func(context.Context, sshhost.Login) (string, error) { return "", sshhost.ErrNoSecret }
		}, isA[*sshhost.AuthError], []string{"it takes a password, and none was given"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s, c.user)
			c.edit(t, &cfg)
			h, err := sshhost.Open(t.Context(), cfg)
			if err == nil {
				t.Fatal("no error", h.Close())
			}
			t.Log(err)
			if !c.is(err) {
				t.Errorf("it is a %T: %v", err, err)
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in: %v", word, err)
				}
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("a secret is in: %v", err)
			}
		})
	}
}

func isA[E error](err error) bool {
	var want E
	return errors.As(err, &want)
}

func isHostKey(changed bool) func(error) bool {
	return func(err error) bool {
		var e *sshhost.HostKeyError
		return errors.As(err, &e) && e.Changed == changed
	}
}

func passphrase(word string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return word, nil }
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// TestBadMachines let us in and are of no use, and say why.
func TestBadMachines(t *testing.T) {
	for _, c := range []struct {
		name   string
		server testenv.SSHOptions
		user   testenv.SSHUser
		is     error
		says   string
	}{
		{"home not writable", testenv.SSHOptions{}, testenv.SSHUser{ReadOnly: true}, fs.ErrPermission, "root directory"},
		{"shell that lets nobody in", testenv.SSHOptions{}, testenv.SSHUser{Shell: "/usr/sbin/nologin"}, nil, "not available"},
		{"no sessions", testenv.SSHOptions{Config: []string{"MaxSessions 0"}}, testenv.SSHUser{}, nil, "gives no session"},
		{"a command of its own", testenv.SSHOptions{Config: []string{"ForceCommand echo only SFTP here"}}, testenv.SSHUser{}, nil, "only SFTP here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testenv.SSHD(t, c.server)
			h, err := sshhost.Open(t.Context(), config(s, s.User(c.user)))
			if err == nil {
				t.Fatal("no error", h.Close())
			}
			t.Log(err)
			if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	for _, o := range []testenv.SSHOptions{{}, {NoSFTP: true}} {
		t.Run(fmt.Sprint("no SFTP: ", o.NoSFTP), func(t *testing.T) {
			s := testenv.SSHD(t, o)
			h := open(t, config(s, s.User(testenv.SSHUser{OtherDisk: 1 << 20})))
			name := h.Root() + "/file"
			if err := h.WriteFile(t.Context(), name, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := h.WriteFile(t.Context(), name, make([]byte, 4<<20), 0o600)
			t.Log(err)
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("error %v", err)
			}
			entries, err := h.ReadDir(t.Context(), h.Root())
			if err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

// TestNoSecretInProcessList: neither arguments of the shells on the way nor
// their environment lines show what is given in Env.
func TestNoSecretInProcessList(t *testing.T) {
	s := testenv.SSHD(t, testenv.SSHOptions{})
	h := open(t, config(s, s.User(testenv.SSHUser{})))
	var out strings.Builder
	err := h.Run(t.Context(), host.Command{
		Argv: []string{"sh", "-c", `test -n "$TOKEN" && cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' '`}, Env: []string{"TOKEN=hidden-word"}, Stdout: &out,
	})
	if err != nil || strings.Contains(out.String(), "hidden-word") {
		t.Errorf("%v: %s", err, &out)
	}
}

// A ProxyCommand ends with its connection, all of it, and what it said is told
// when the connection breaks.
func TestProxyCommandEnds(t *testing.T) {
	s := testenv.SSHD(t, testenv.SSHOptions{})
	a := s.User(testenv.SSHUser{})
	dir := t.TempDir()
	// The second process ignores what asks it to end.
	write(t, dir+"/proxy", fmt.Sprintf("#!/bin/sh\n(trap '' TERM; while :; do sleep 600; done) &\necho $! >>%s/pids\necho $$ >>%s/pids\n"+
		"ssh -F none -o BatchMode=yes -o UserKnownHostsFile=%s -i %s -p %s -W \"$1:$2\" %s@127.0.0.1\necho the bastion is closed >&2\n",
		dir, dir, s.KnownHosts, a.Key, port(s.Address), a.Name), 0o700)
	cfg := config(s, a)
	cfg.ConfigFiles, cfg.Patience = []string{dir + "/config"}, time.Second
	write(t, cfg.ConfigFiles[0], "Host *\n  ProxyCommand "+dir+"/proxy %h %p\n", 0o600)
	h := open(t, cfg)
	s.Stop()
	var lost *sshhost.UnreachableError
	eventually(t, "the line is lost", func() bool {
		err := h.Run(t.Context(), host.Command{Argv: []string{"true"}})
		return errors.As(err, &lost) && strings.Contains(err.Error(), "the bastion is closed")
	})
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	pids, err := os.ReadFile(dir + "/pids")
	if err != nil {
		t.Fatal(err)
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		eventually(t, "process "+pid+" ends", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	}
}

// ecdsaKey is the fingerprint of a server's second key.
func ecdsaKey(t *testing.T, s *testenv.SSHServer) string {
	t.Helper()
	said, err := exec.Command("ssh-keygen", "-lf", filepath.Join(s.Dir, "host_ecdsa.pub")).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(said))[1]
}
