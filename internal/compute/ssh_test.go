package compute

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/testenv"
)

// sshMachines reach real machines.
func sshMachines(t *testing.T, installation string) *Machines {
	return &Machines{
		Installation: installation, Here: newHost(t),
		Connect: func(ctx context.Context, t *Target, s Secrets) (Connection, error) {
			return DialSSH(ctx, t, s, nil, slog.New(slog.DiscardHandler))
		},
	}
}

// stored secrets.
func stored(_ context.Context, name string) (string, error) {
	if name == "BOX" {
		return "open sesame", nil
	}
	return "", &ReferenceError{What: "no secret is stored under the name " + name, Hint: "store it"}
}

func copyOf(t *testing.T, file string, mode os.FileMode) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBadInput is about what people see when attaching goes wrong. In what is
// wanted, words in braces stand for what the test made.
func TestBadInput(t *testing.T) {
	t.Setenv("HOME", t.TempDir()) // nobody's keys and ssh configuration
	t.Setenv("SSH_AUTH_SOCK", "")
	s := testenv.SSHD(t, testenv.SSHOptions{})
	plain := s.User(testenv.SSHUser{Password: "open sesame"})
	locked := s.User(testenv.SSHUser{Passphrase: "swordfish"})
	readOnly := s.User(testenv.SSHUser{ReadOnly: true})
	full := s.User(testenv.SSHUser{OtherDisk: 1 << 20})
	other := s.User(testenv.SSHUser{})
	const otherKey = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

	for _, c := range []struct {
		name   string
		who    testenv.SSHAccount
		config Config
		given  map[string]string
		want   string
		hint   string
		// temporary: it is worth trying again by itself
		temporary bool
	}{
		{name: "key", who: plain, config: Config{Identity: plain.Key}},
		{name: "password of a variable", who: plain, config: Config{Password: "env:NO_SUCH"}, given: map[string]string{"password": "open sesame"}},
		{name: "password of a file", who: plain, config: Config{Password: Reference("file:" + write(t, "open sesame\n"))}},
		{name: "password that is stored", who: plain, config: Config{Password: "secret:BOX"}},
		{
			name: "password that is not stored", who: plain, config: Config{Password: "secret:OTHER"},
			want: "log in: no secret is stored under the name OTHER", hint: "store it",
		},
		{name: "passphrase", who: locked, config: Config{Identity: locked.Key, Passphrase: "given"}, given: map[string]string{"passphrase": "swordfish"}},
		{name: "host key given", who: plain, config: Config{Identity: plain.Key, KnownHosts: "none", HostKey: s.Fingerprint}},
		{name: "host key confirmed", who: plain, config: Config{Identity: plain.Key, KnownHosts: write(t, ""), Accepted: fingerprints(t, s)}},
		{
			name: "wrong password", who: plain, config: Config{Password: "given"}, given: map[string]string{"password": "let me in"},
			want: "{ADDRESS} does not let {USER} in (tried password)", hint: "try ssh -p {PORT} {USER}@127.0.0.1 yourself; give a key with --identity, or a password with --password",
		},
		{
			name: "nothing to log in with", who: plain,
			want: "{ADDRESS} does not let {USER} in (there was no key, agent or password to try: give an identity file or a password): it takes a password, and none was given",
			hint: "give a key with --identity, or the password with --password env:NAME, file:PATH or secret:NAME; on a terminal you are asked",
		},
		{
			name: "variable that is not set", who: plain, config: Config{Password: "env:NO_SUCH"},
			want: "log in: the variable NO_SUCH is not set", hint: "set it for the agent, or attach the target again",
		},
		{name: "somebody else's key", who: plain, config: Config{Identity: other.Key}, want: "{ADDRESS} does not let {USER} in (tried key {KEY}"},
		{
			name: "no passphrase", who: locked, config: Config{Identity: locked.Key},
			want: "private key {KEY}: it is encrypted and no passphrase was given", hint: "give its passphrase with --passphrase env:NAME, file:PATH or secret:NAME; on a terminal you are asked",
		},
		{
			name: "wrong passphrase", who: locked, config: Config{Identity: locked.Key, Passphrase: "given"}, given: map[string]string{"passphrase": "fish"},
			want: "private key {KEY}: the passphrase does not open it", hint: "give its passphrase with --passphrase env:NAME, file:PATH or secret:NAME",
		},
		{
			name: "key that others can read", who: plain, config: Config{Identity: copyOf(t, plain.Key, 0o644)},
			want: "private key {KEY}: its permissions are too open, others can read it (mode 0644)", hint: "chmod 600 {KEY}",
		},
		{name: "no such key", who: plain, config: Config{Identity: "/nowhere/key"}, want: "private key {KEY}: open {KEY}: no such file or directory", hint: "name the private key's file with --identity"},
		{
			name: "unknown host", who: plain, config: Config{Identity: plain.Key, KnownHosts: write(t, "")},
			want: "the host key of [127.0.0.1]:{PORT} is not known: ",
		},
		{
			name: "changed host key", who: plain, config: Config{Identity: plain.Key, KnownHosts: write(t, "[127.0.0.1]:"+port(s)+" ssh-ed25519 "+otherKey+"\n")},
			want: "the key of [127.0.0.1]:{PORT} HAS CHANGED: it shows ssh-ed25519 " + s.Fingerprint,
			hint: "when the machine was made anew, take the old key out of the file named above, or attach it again with --host-key " + s.Fingerprint,
		},
		{
			name: "other host key given", who: plain, config: Config{Identity: plain.Key, HostKey: "SHA256:AAAA"},
			want: "the key of [127.0.0.1]:{PORT} HAS CHANGED: it shows ",
			hint: "when the machine's owner tells this fingerprint, give it: --host-key " + s.Fingerprint,
		},
		{
			name: "nobody listens", who: plain, config: Config{Address: "x@127.0.0.1:1", Identity: plain.Key},
			want: "127.0.0.1:1 cannot be reached: connection refused: nothing listens there",
			hint: "check the address, that the machine is up, and its firewall", temporary: true,
		},
		{
			name: "no such host", who: plain, config: Config{Address: "x@no-such-host.invalid", Identity: plain.Key},
			want: "no-such-host.invalid:22 cannot be reached: there is no host of this name: ", hint: "check the address, that the machine is up, and its firewall", temporary: true,
		},
		{name: "no address", who: plain, config: Config{Address: "x@"}, want: `address "x@": not an address of the form [USER@]HOST[:PORT]`},
		{name: "home not writable", who: readOnly, config: Config{Identity: readOnly.Key}, want: "nothing can be kept in ~/.runner on the machine: we may not write there", hint: "name another directory with --remote-dir"},
		{
			name: "no room", who: full, config: Config{Identity: full.Key},
			want: "nothing can be kept in {HOME}/.runner on the machine: only ", hint: "name another directory with --remote-dir",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.config.Address == "" {
				c.config.Address = c.who.Name + "@" + s.Address
			}
			if c.config.KnownHosts == "" {
				c.config.KnownHosts = s.KnownHosts
			}
			m := sshMachines(t, "one")
			m.Take = probe
			target := &Target{Name: "box", Config: c.config}
			v, err := m.Visit(t.Context(), target, Secrets{Given: c.given, Stored: stored})
			if err == nil {
				_, err = v.Take(t.Context())
				if !slices.Contains(fingerprints(t, s), v.HostKey()) {
					t.Error("host key", v.HostKey())
				}
				err = errors.Join(err, v.Close())
			}
			want := strings.NewReplacer("{ADDRESS}", s.Address, "{USER}", c.who.Name, "{KEY}", c.config.Identity, "{HOME}", c.who.Home, "{PORT}", port(s)).Replace
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), want(c.want)) {
				t.Errorf("got  %v\nwant %s...", err, want(c.want))
			}
			hint := ""
			if h, ok := errors.AsType[interface {
				error
				Hint() string
			}](err); ok {
				hint = h.Hint()
			}
			if c.hint != "" && hint != want(c.hint) {
				t.Errorf("hint %q\nwant %q", hint, want(c.hint))
			}
			for _, secret := range []string{"open sesame", "swordfish", "let me in", "fish\n"} {
				if err != nil && strings.Contains(err.Error()+hint, secret) {
					t.Error("a secret is told:", err, hint)
				}
			}
			if IsTemporary(err) != c.temporary {
				t.Errorf("temporary: %v", IsTemporary(err))
			}
		})
	}
}

// TestPasswordIsForTheTarget goes through another machine, which takes
// passwords as well and must not be shown the target's.
func TestPasswordIsForTheTarget(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	bastion, s := testenv.SSHD(t, testenv.SSHOptions{}), testenv.SSHD(t, testenv.SSHOptions{})
	between := bastion.User(testenv.SSHUser{Password: "open sesame"})
	who := s.User(testenv.SSHUser{Password: "open sesame"})
	for _, c := range []struct{ name, key, want string }{
		{name: "the way is open", key: between.Key},
		{name: "no key for the way", key: "none", want: bastion.Address + " does not let " + between.Name + " in (there was no key, agent or password to try"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, at, _ := strings.Cut(bastion.Address, ":")
			text := "Host bastion\n HostName " + host + "\n Port " + at + "\n User " + between.Name + "\n IdentityFile " + c.key +
				"\nHost box\n HostName 127.0.0.1\n Port " + port(s) + "\n User " + who.Name + "\n ProxyJump bastion\n" +
				"Host *\n UserKnownHostsFile " + bastion.KnownHosts + " " + s.KnownHosts + "\n"
			if err := errors.Join(os.MkdirAll(filepath.Join(home, ".ssh"), 0o700), os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
			target := &Target{Name: "box", Config: Config{Address: "box", Password: "given"}}
			v, err := sshMachines(t, "one").Visit(t.Context(), target, Secrets{Given: map[string]string{"password": "open sesame"}})
			if err == nil {
				err = v.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if strings.Contains(bastion.Log(), "password for "+between.Name) {
				t.Error("the machine on the way was shown the password")
			}
		})
	}
}

// fingerprints are those of all keys that a server has.
func fingerprints(t *testing.T, s *testenv.SSHServer) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "host_*.pub"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := make([]string, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = ssh.FingerprintSHA256(key)
	}
	return all
}

func port(s *testenv.SSHServer) string { return strings.TrimPrefix(s.Address, "127.0.0.1:") }

// TestOneMachine attaches a real machine under several spellings, from two
// installations, and leaves it as it was.
func TestOneMachine(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	ctx := t.Context()
	s := testenv.SSHD(t, testenv.SSHOptions{})
	who := s.User(testenv.SSHUser{Files: map[string]string{".bashrc": "echo noise\n", "notes.txt": "mine\n"}})
	visit := func(installation, name, address string) *Visit {
		t.Helper()
		target := &Target{Name: name, Config: Config{
			Address: who.Name + "@" + address + ":" + port(s), Identity: who.Key, KnownHosts: write(t, ""), Accepted: fingerprints(t, s),
		}}
		v, err := sshMachines(t, installation).Visit(ctx, target, Secrets{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = v.Close() })
		return v
	}
	first := visit("one", "gpubox", "127.0.0.1")
	id, err := first.MachineID(ctx)
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	if made, err := first.Claim(ctx); !made || err != nil {
		t.Fatal(made, err)
	}
	second := visit("one", "other", "localhost")
	secondID, err := second.MachineID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same, ok := errors.AsType[*SameMachineError](Same(secondID, second.HostKey(), []Known{{"gpubox", id, first.HostKey()}}))
	if !ok || same.Name != "gpubox" {
		t.Error("the machine is not known under another spelling")
	}
	theirs := visit("two", "box", "localhost")
	if _, err := theirs.Claim(ctx); err == nil || !strings.Contains(err.Error(), `attached as "gpubox" by`) {
		t.Error(err)
	}
	if _, err := theirs.TakeOver(ctx); err != nil {
		t.Error(err)
	}
	if err := visit("one", "gpubox", "127.0.0.1").Check(); err == nil {
		t.Error("we do not see that it was taken over")
	}
	if err := first.Clear(ctx); err != nil {
		t.Error(err)
	}
	if err := visit("two", "box", "localhost").Check(); err != nil {
		t.Error("we cleared what is theirs:", err)
	}
	if err := theirs.Clear(ctx); err != nil {
		t.Error(err)
	}
	out, err := exec.CommandContext(ctx, "find", who.Home, "-mindepth", "1", "-not", "-name", ".bashrc", "-not", "-name", "notes.txt").CombinedOutput()
	if len(out) > 0 || err != nil {
		t.Errorf("left on the machine: %s %v", out, err)
	}
}

// probe asks only for the disk: what is installed does not matter here.
func probe(ctx context.Context, h host.Host) (*inventory.Inventory, error) {
	return inventory.Take(ctx, h, inventory.Options{})
}

// What is wrong behind the door of a machine that is up is not its firewall.
func TestAdviceOfATemporaryFailure(t *testing.T) {
	box := &Target{Name: "box", Config: Config{Address: "ana@gpubox:2222"}}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"too many logins", &sshhost.BusyError{Address: "gpubox:2222", Says: true, Err: io.EOF}, "try again when the other logins there are over, or have MaxStartups raised in its sshd_config"},
		{
			"too many logins, perhaps", &sshhost.BusyError{Address: "gpubox:2222", Err: io.EOF},
			"try again when the other logins there are over, or have MaxStartups raised in its sshd_config; if it never answers, check the address and its firewall",
		},
		{"a shell that says nothing", &sshhost.MuteError{Address: "gpubox:2222", After: time.Minute}, "see what hangs there with ssh -p 2222 ana@gpubox true: it may be in .bashrc or .profile, or a home on a network disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := reachError(box, c.err)
			if diff := cmp.Diff(c.want, got.Advice); diff != "" {
				t.Error(diff)
			}
			if !IsTemporary(got) {
				t.Error("it is not tried again")
			}
		})
	}
}

// TestElsewhere attaches a real machine from two installations with a directory
// each: the second is told of the first.
func TestElsewhere(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	ctx := t.Context()
	s := testenv.SSHD(t, testenv.SSHOptions{})
	for _, c := range []struct {
		name          string
		first, second string // their directories; empty: the usual one
		told          bool
		// gone: the first one's directory is removed by hand.
		gone bool
	}{
		{name: "the first elsewhere", first: "data/r", told: true},
		{name: "the second elsewhere", second: "data/r", told: true},
		{name: "both elsewhere", first: "data/one", second: "data/two", told: true},
		{name: "in one directory", first: "data/r", second: "data/r"}, // its claim tells
		{name: "the first one is gone", first: "data/r", gone: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			who := s.User(testenv.SSHUser{})
			visit := func(installation, dir string) *Visit {
				t.Helper()
				target := &Target{Name: "box", Config: Config{
					Address: who.Name + "@127.0.0.1:" + port(s), Identity: who.Key, KnownHosts: write(t, ""), Accepted: fingerprints(t, s), RemoteDir: dir,
				}}
				v, err := sshMachines(t, installation).Visit(ctx, target, Secrets{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = v.Close() })
				return v
			}
			first := visit("one", c.first)
			if _, err := first.Claim(ctx); err != nil {
				t.Fatal(err)
			}
			for range 2 { // it is not told of itself
				if err := errors.Join(first.Note(ctx), first.Elsewhere(ctx)); err != nil {
					t.Fatal(err)
				}
			}
			if c.gone {
				if err := os.RemoveAll(first.Root()); err != nil {
					t.Fatal(err)
				}
			}
			second := visit("two", c.second)
			err := errors.Join(second.Note(ctx), second.Elsewhere(ctx))
			told, ok := errors.AsType[*ElsewhereError](err)
			if ok != c.told || err != nil && !ok {
				t.Errorf("error %v, want it to be told: %v", err, c.told)
			}
			if ok && (told.Root != first.Root() || !strings.Contains(told.Error(), `attached as "box" by `)) {
				t.Error(told)
			}
			if err := errors.Join(second.unnote(ctx), first.Clear(ctx)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(who.Home, ".runner", elsewhereName)); err == nil {
				t.Error("a note is left")
			}
		})
	}
}

// --host-key is the target's: of a machine on the way something else is said.
func TestUnknownJumpHost(t *testing.T) {
	b := testenv.SSHKind{Login: testenv.LoginJump}.Open(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	config, err := os.ReadFile(b.Config)
	if err := errors.Join(err, os.Mkdir(filepath.Join(home, ".ssh"), 0o700), os.WriteFile(filepath.Join(home, ".ssh", "config"), config, 0o600)); err != nil {
		t.Fatal(err)
	}
	target := &Target{Name: "box", Config: Config{Address: b.Account.Name + "@" + b.Server.Address, Identity: b.Account.Key, KnownHosts: b.Server.KnownHosts}}
	_, err = DialSSH(t.Context(), target, Secrets{}, nil, slog.New(slog.DiscardHandler))
	unknown, ok := errors.AsType[*UnknownHostKeyError](err)
	if !ok || !unknown.Jump || strings.Contains(unknown.Hint(), "--host-key") || !strings.Contains(unknown.Hint(), "log in to it once with ssh") {
		t.Errorf("%v: %+v", err, unknown)
	}
}
