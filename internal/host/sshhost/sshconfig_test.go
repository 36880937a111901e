package sshhost

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWay(t *testing.T) {
	const words = `
Host gpubox
  HostName 10.0.0.%h
  Port 2222
  User ana
  ProxyJump ana@bastion:22022,inner
Host bastion
  HostName bastion.example.com
  User other
  ProxyJump none
Host inner
  ProxyJump nobody-asks-for-the-way-of-the-second
Host round
  ProxyJump round
Host plain
  User eve
Host command
  HostName c.example.com
  Port 24
  ProxyCommand "/opt/my proxy" %%h=%h %n %p %r
  ProxyJump not-any-more
Host jump-first
  ProxyJump x@y
Host jump-first
  ProxyCommand not-any-more
Host no-jump
  ProxyJump none
Host no-command
  ProxyCommand none
Host no-*
  ProxyCommand not-any-more
  ProxyJump nor-this
Host behind
  ProxyJump root@command
Host evil
  HostName $(touch-me)
  ProxyCommand nc %h %p
`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, address string
		jumps         []string
		want          []string
		command       string // to the first
		err           error
	}{
		{name: "all of it", address: "me@example.com:22022", want: []string{"me example.com:22022"}},
		{name: "port by default", address: "me@example.com", want: []string{"me example.com:22"}},
		{name: "as a URL", address: "ssh://me@example.com:99/", want: []string{"me example.com:99"}},
		{name: "at sign in the user", address: "me@corp@example.com", want: []string{"me@corp example.com:22"}},
		{name: "IPv6", address: "me@2001:db8::1", want: []string{"me [2001:db8::1]:22"}},
		{name: "IPv6 with port", address: "me@[2001:db8::1]:99", want: []string{"me [2001:db8::1]:99"}},
		{name: "alias with jumps", address: "gpubox", want: []string{"ana bastion.example.com:22022", "ana inner:22", "ana 10.0.0.gpubox:2222"}},
		{name: "the address wins", address: "bob@gpubox:1", jumps: []string{}, want: []string{"bob 10.0.0.gpubox:1"}},
		{name: "jumps given", address: "plain", jumps: []string{"x@y"}, want: []string{"x y:22", "eve plain:22"}},
		{name: "a command", address: "bob@command", want: []string{"bob c.example.com:24"}, command: `"/opt/my proxy" %h=c.example.com command 24 bob`},
		{name: "a command, and jumps given", address: "bob@command", jumps: []string{"x@y"}, want: []string{"x y:22", "bob c.example.com:24"}},
		{name: "a command to the jump host", address: "bob@behind", want: []string{"root c.example.com:24", "bob behind:22"}, command: `"/opt/my proxy" %h=c.example.com command 24 root`},
		{name: "jumps before a command", address: "bob@jump-first", want: []string{"x y:22", "bob jump-first:22"}},
		{name: "no jump", address: "bob@no-jump", want: []string{"bob no-jump:22"}},
		{name: "no command", address: "bob@no-command", want: []string{"bob no-command:22"}},
		{name: "a host that a shell would carry out", address: "bob@evil", err: errUnsafe},
		{name: "a user that a shell would carry out", address: "`id`@command", err: errUnsafe},
		{name: "a circle", address: "round", err: errManyJumps},
		{name: "nothing", address: "", err: errAddress},
		{name: "no host", address: "me@", err: errAddress},
		{name: "no user", address: "@example.com", err: errAddress},
		{name: "an option", address: "-oProxyCommand=x", err: errAddress},
		{name: "port that is none", address: "me@example.com:http", err: errAddress},
		{name: "port too high", address: "me@example.com:65536", err: errAddress},
		{name: "blank", address: "me@exam ple.com", err: errAddress},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("USER", "ana")
			hops, err := Config{Address: c.address, Jumps: c.jumps, ConfigFiles: []string{file}}.withDefaults().way(t.Context())
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			var got []string
			for _, h := range hops {
				user := h.user
				if h.host == "inner" { // whoever runs the test
					user = "ana"
				}
				got = append(got, user+" "+h.address())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if len(hops) > 0 && hops[0].command != c.command {
				t.Errorf("command %q", hops[0].command)
			}
		})
	}
}

// What only ssh itself can tell is asked of it: among others what Fedora says for
// all users.
func TestMatch(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "final"), "Match final all\n  IdentityAgent /run/final\n")
	ours, all := filepath.Join(dir, "our config"), filepath.Join(dir, "all")
	writeFile(t, ours, `
Match user svc
  Port 2222
Host gpubox
  HostName 10.0.0.5
  User ana
  IdentityFile "`+dir+`/my keys/id"
  IdentitiesOnly yes
  HostKeyAlias box
  ProxyJump svc@bastion
Match exec "test %n = made"
  HostName made.example.com
  ProxyCommand "/opt/my proxy" %h
Host *
  User everybody
`)
	writeFile(t, all, "Include "+dir+"/final\nHost *\n  User nobody\n  Port 99\n")
	for _, c := range []struct {
		name, address string
		want          []hop
	}{
		{"an alias with a jump", "gpubox", []hop{
			{name: "bastion", user: "svc", host: "bastion", port: "2222", agent: "/run/final", jump: true},
			{
				name: "gpubox", user: "ana", host: "10.0.0.5", port: "99", keyName: "box", identities: []string{dir + "/my keys/id"},
				identitiesOnly: true, agent: "/run/final",
			},
		}},
		{"the address wins", "bob@gpubox:1", []hop{
			{name: "bastion", user: "svc", host: "bastion", port: "2222", agent: "/run/final", jump: true},
			{
				name: "gpubox", user: "bob", host: "10.0.0.5", port: "1", keyName: "box", identities: []string{dir + "/my keys/id"},
				identitiesOnly: true, agent: "/run/final",
			},
		}},
		{"of a program", "made", []hop{{
			name: "made", user: "everybody", host: "made.example.com", port: "99", command: `"/opt/my proxy" made.example.com`, agent: "/run/final",
		}}},
		{"nothing of its own", "plain", []hop{{name: "plain", user: "everybody", host: "plain", port: "99", agent: "/run/final"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hops, err := Config{Address: c.address, ConfigFiles: []string{ours, all}, KnownHosts: []string{}}.withDefaults().way(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, hops, cmp.AllowUnexported(hop{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMatchWithoutSSH(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	writeFile(t, file, "Match final all\n  Port 99\n")
	t.Setenv("PATH", t.TempDir())
	_, err := Config{Address: "gpubox", ConfigFiles: []string{file}}.withDefaults().way(t.Context())
	var config *ConfigError
	if !errors.As(err, &config) || config.Advice == "" || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one of the file %s, with advice", err, file)
	}
}

func TestSplitFiles(t *testing.T) {
	for list, want := range map[string][]string{
		"": nil, "  a\tb ": {"a", "b"}, `"/a b/known" /c`: {"/a b/known", "/c"}, `/c "/a b/known"`: {"/c", "/a b/known"}, `"/open ended`: {"/open ended"},
	} {
		if diff := cmp.Diff(want, splitFiles(list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", list, diff)
		}
	}
}

// The agent that the configuration names is asked before the one of the
// environment, as ssh does.
func TestAgentSocket(t *testing.T) {
	const words = `
Host named
  IdentityAgent ~/agents/%h
Host quoted
  IdentityAgent "/run/our agents/socket"
Host variable
  IdentityAgent $OTHER_AGENT
Host environment
  IdentityAgent SSH_AUTH_SOCK
Host nobody
  IdentityAgent none
`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", "/home/ana")
	t.Setenv("SSH_AUTH_SOCK", "/run/environment")
	t.Setenv("OTHER_AGENT", "/run/other")
	for _, c := range []struct{ name, address, given, want string }{
		{"nothing said", "plain", "", "/run/environment"},
		{"given", "plain", "/run/given", "/run/given"},
		{"named", "named", "", "/home/ana/agents/named"},
		{"named and given", "named", "/run/given", "/home/ana/agents/named"},
		{"named in quotes", "quoted", "/run/given", "/run/our agents/socket"},
		{"of a variable", "variable", "/run/given", "/run/other"},
		{"of the environment", "environment", "", "/run/environment"},
		{"of the environment, and given", "environment", "/run/given", "/run/given"},
		{"none named", "nobody", "/run/given", "none"},
		{"none given", "named", "none", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			hops, err := Config{Address: c.address, AgentSocket: c.given, ConfigFiles: []string{file}}.withDefaults().way(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, hops[0].agent); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A machine's key is looked for under its alias alone, whatever that looks like.
func TestNameOfKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		hop  hop
		want string
	}{
		{"no alias", hop{host: "10.0.0.5", port: "2222"}, "10.0.0.5:2222"},
		{"alias", hop{host: "10.0.0.5", port: "2222", keyName: "gpubox"}, "gpubox:22"},
		{"alias with a port", hop{host: "10.0.0.5", port: "2222", keyName: "[gpubox]:24"}, "[gpubox]:24"},
		{"alias of an IPv6 address", hop{host: "10.0.0.5", port: "2222", keyName: "::1"}, "[::1]:22"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.hop.nameOfKey()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("cd /; exec printf '%s' \\ \n '\xff\x80!' \"$HOME\"")
	f.Fuzz(func(t *testing.T, script string) {
		line := header(script)
		for i := range len(line) - 1 {
			if c := line[i]; c < ' ' || c > '~' {
				t.Fatalf("byte %d of %q would not pass", i, line)
			}
		}
	})
}

func FuzzSplitAddress(f *testing.F) {
	f.Add("me@[::1]:22")
	f.Add("ssh://x@y/")
	f.Fuzz(func(t *testing.T, address string) {
		name, _, err := splitAddress(address)
		if err == nil && (name == "" || name[0] == '-') {
			t.Fatalf("%q names %q", address, name)
		}
	})
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
