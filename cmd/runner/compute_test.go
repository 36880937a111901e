package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/runnerml/runner/internal/testenv"
)

// TestSSH goes from end to end on a machine over SSH: a user of this one who
// has neither root nor our files. Scripts find him in $BOX_USER, $BOX_HOME,
// $BOX_KEY and the server in $BOX_HOST, $BOX_PORT and $BOX_FINGERPRINT; the
// commands sshd-stop and sshd-start are about the server. $JUMP_USER at
// $JUMP_PORT is a machine on the way that takes only passwords.
func TestSSH(t *testing.T) {
	address, cert := dataServer(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/ssh",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return setUpSSH(t, env, address, cert) },
		Cmds:                sshCommands(),
	})
}

func setUpSSH(t *testing.T, env *testscript.Env, address, cert string) error {
	tb := env.T().(testing.TB)
	server := testenv.SSHD(tb, testenv.SSHOptions{})
	who := server.User(testenv.SSHUser{Password: "open sesame", Files: map[string]string{".bashrc": "echo noise from .bashrc\n"}})
	jump := testenv.SSHD(tb, testenv.SSHOptions{Config: []string{"PubkeyAuthentication no"}})
	jumper := jump.User(testenv.SSHUser{Password: "mellon", Shell: "/usr/sbin/nologin"})
	_, jumpPort, _ := strings.Cut(jump.Address, ":")
	known := filepath.Join(env.WorkDir, "known_hosts")
	if err := join(known, server.KnownHosts, jump.KnownHosts); err != nil {
		return err
	}
	host, port, _ := strings.Cut(server.Address, ":")
	env.Values["server"] = server
	for name, value := range map[string]string{
		"BOX_USER": who.Name, "BOX_HOME": who.Home, "BOX_KEY": who.Key, "BOX_HOST": host, "BOX_PORT": port,
		"BOX_FINGERPRINT": server.Fingerprint, "BOX_KNOWN_HOSTS": known,
		"JUMP_USER": jumper.Name, "JUMP_PORT": jumpPort,
		"RUNNER_HOME": filepath.Join(env.WorkDir, "runner"), "RUNNER_AGENT_IDLE": "60s", "TZ": "UTC",
		"HOME": filepath.Join(env.WorkDir, "home"), "SSH_AUTH_SOCK": "", fakeEngine: "",
		"DATA_URL": address, "SSL_CERT_FILE": cert,
	} {
		env.Setenv(name, value)
	}
	if err := os.MkdirAll(filepath.Join(env.WorkDir, "home", ".ssh"), 0o700); err != nil {
		return err
	}
	env.Defer(func() { stopAgent(t, env.Getenv("RUNNER_HOME")) })
	return nil
}

func sshCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"sshd-stop": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Value("server").(*testenv.SSHServer).Stop()
		},
		"sshd-start": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Value("server").(*testenv.SSHServer).Start()
		},
	}
}

// join writes files one after the other into one.
func join(to string, from ...string) error {
	var all []byte
	for _, name := range from {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		all = append(all, data...)
	}
	return os.WriteFile(to, all, 0o600)
}
