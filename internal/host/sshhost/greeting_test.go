package sshhost_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

// TestGreeting is about what a login brings, to users of all shells.
func TestGreeting(t *testing.T) {
	const dir = "our 'dir' ü"
	files := map[string]string{
		dir + "/claim.json": "{\n  \"by\": \"a\\\\b -n 'c' $HOME\",\n}\n", dir + "/no end": "-e one\n\ttwo", dir + "/empty": "",
		dir + "/sub/file": "", "outside": "outside\n",
	}
	for _, c := range []struct {
		name string
		user testenv.SSHUser
	}{
		{"bash", testenv.SSHUser{Files: map[string]string{".bashrc": noise + "set -x\nexport n=7 l=8\nset -u\n"}}},
		{"dash", testenv.SSHUser{Shell: "/bin/dash"}},
		{"fish", testenv.SSHUser{Shell: "/usr/bin/fish", Files: map[string]string{".config/fish/config.fish": "echo hello\n"}}},
		{"tcsh", testenv.SSHUser{Shell: "/bin/tcsh", Files: map[string]string{".cshrc": "echo hello\n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testenv.SSHD(t, testenv.SSHOptions{})
			if c.user.Files == nil {
				c.user.Files = map[string]string{}
			}
			for name, text := range files {
				c.user.Files[name] = text
			}
			a := s.User(c.user)
			root, outside := filepath.Join(a.Home, dir), filepath.Join(a.Home, "outside")
			cfg := config(s, a)
			cfg.Root = "~/" + dir
			cfg.Ask = []string{"claim.json", "no end", "empty", "none", "sub", outside, "/none/such"}
			got := open(t, cfg).Greeting()
			name, err := os.Hostname()
			if err != nil {
				t.Fatal(err)
			}
			boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
			if err != nil {
				t.Fatal(err)
			}
			here, err := host.NewHere(t.TempDir()).Platform(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := sshhost.Greeting{
				Root: root,
				Platform: host.Platform{
					OS: here.OS, Arch: here.Arch, Hostname: name, BootID: strings.TrimSpace(string(boot)),
					UID: got.Platform.UID, GID: got.Platform.GID, Home: a.Home,
				},
				Files: map[string]sshhost.Found{
					root + "/claim.json": {There: true, Content: files[dir+"/claim.json"]},
					root + "/no end":     {There: true, Content: files[dir+"/no end"] + "\n"},
					root + "/empty":      {There: true},
					root + "/none":       {},
					outside:              {There: true, Content: "outside\n"},
					"/none/such":         {},
				},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if got.Platform.UID == 0 || got.Platform.GID == 0 {
				t.Errorf("the user is %d, %d", got.Platform.UID, got.Platform.GID)
			}
		})
	}
}

// TestJudge is about a machine that is not as it was when the line broke.
func TestJudge(t *testing.T) {
	h := newCutable(t, testenv.SSHOptions{}, func(c *sshhost.Config) {
		c.Ask, c.Patience = []string{"claim.json"}, 300*time.Millisecond
	})
	claim := filepath.Join(h.Root(), "claim.json")
	if err := h.WriteFile(t.Context(), claim, []byte("ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h.Greeting().Files[claim].There {
		t.Error("it was not there at the login")
	}
	theirs := errors.New("somebody took it over")
	var mu sync.Mutex
	asked := 0
	h.Judge(func(g sshhost.Greeting) error {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if g.Files[claim].Content != "ours\n" {
			return theirs
		}
		return nil
	})
	h.line.Reset()
	eventually(t, "it to be still ours", func() bool { // its patience is short
		_, err := h.Stat(t.Context(), claim)
		return err == nil
	})
	if err := h.WriteFile(t.Context(), claim, []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.line.Reset()
	eventually(t, "it to be seen", func() bool {
		_, err := h.Trouble()
		if err == nil {
			_, _ = h.Stat(t.Context(), claim) // it tries again
		}
		return errors.Is(err, theirs)
	})
	if _, err := h.Stat(t.Context(), claim); !errors.Is(err, theirs) || !errors.Is(err, sshhost.ErrUnreachable) {
		t.Errorf("used all the same: %v", err)
	}
	if err := os.WriteFile(claim, []byte("ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be ours again", func() bool {
		_, err := h.Stat(t.Context(), claim)
		return err == nil
	})
	mu.Lock()
	defer mu.Unlock()
	if asked < 3 {
		t.Errorf("judged %d times", asked)
	}
}

// TestAhead is about the command that a login starts.
func TestAhead(t *testing.T) {
	const program = "echo begun >>\"$2/ran\"; umask >>\"$2/umask\"; echo \"$1 ${LC_ALL-no locale}\"; echo told >&2; cat; exit 3\n"
	for _, c := range []struct {
		name   string
		server testenv.SSHOptions
	}{
		{"many sessions", testenv.SSHOptions{}},
		{"one session", testenv.SSHOptions{MaxSessions: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testenv.SSHD(t, c.server)
			a := s.User(testenv.SSHUser{Files: map[string]string{"our dir/bin/a b": "#!/bin/sh\n" + program, ".bashrc": noise}})
			if err := errors.Join(os.Chmod(filepath.Join(a.Home, "our dir/bin/a b"), 0o755), os.Chown(filepath.Join(a.Home, "our dir"), a.UID, -1)); err != nil {
				t.Fatal(err)
			}
			line := testenv.Cut(t, s.Address)
			cfg := config(s, a)
			cfg.Address, cfg.HostKey = a.Name+"@"+line.Address, s.Fingerprint
			cfg.Root, cfg.Ahead = "~/our dir", []string{"bin/a b", "it's"}
			h := cutable{Host: open(t, cfg), server: s, line: line, user: a}
			run := func(argv ...string) string {
				t.Helper()
				var out, said bytes.Buffer
				err := h.Run(t.Context(), host.Command{Argv: argv, Stdin: strings.NewReader("fed"), Stdout: &out, Stderr: &said})
				failed, ok := errors.AsType[*host.ExitError](err)
				if !ok || failed.Code != 3 {
					t.Errorf("%v", err)
				}
				return out.String() + said.String()
			}
			eventually(t, "it to begin", func() bool { return h.ran(t) == 1 })
			argv := []string{h.Root() + "/bin/a b", "it's", h.Root()}
			if other := run(argv[0], "other", argv[2]); other != "other no locale\nfedtold\n" {
				t.Errorf("another command says %q", other)
			}
			for i, ran := range []int{2, 3} { // the one ahead, and one of its own
				if got := run(argv...); got != "it's no locale\nfedtold\n" || h.ran(t) != ran {
					t.Errorf("run %d says %q; it ran %d times", i, got, h.ran(t))
				}
			}
			h.line.Reset()
			eventually(t, "it to be started by the next login", func() bool {
				_, err := h.Stat(t.Context(), h.Root())
				return err == nil && h.ran(t) == 4
			})
			if got := run(argv...); got != "it's no locale\nfedtold\n" || h.ran(t) != 4 {
				t.Errorf("after the cut %q; it ran %d times", got, h.ran(t))
			}
			masks, err := os.ReadFile(filepath.Join(h.Root(), "umask"))
			if err != nil || strings.Contains(string(masks), "77") {
				t.Errorf("umask %q, %v", masks, err)
			}
		})
	}
}

// A machine may say more than its greeting, and nobody listens: its program is
// ended, and whoever wants it starts it anew.
func TestAheadOfNobody(t *testing.T) {
	s := testenv.SSHD(t, testenv.SSHOptions{})
	a := s.User(testenv.SSHUser{Files: map[string]string{"d/bin/loud": "#!/bin/sh\necho >>ran; [ -s full ] || { head -c 300000 /dev/zero; sleep 1; }; echo fine\n"}})
	if err := errors.Join(os.Chmod(filepath.Join(a.Home, "d/bin/loud"), 0o755), os.Chown(filepath.Join(a.Home, "d"), a.UID, -1)); err != nil {
		t.Fatal(err)
	}
	cfg := config(s, a)
	cfg.Root, cfg.Ahead = "~/d", []string{"bin/loud"}
	h := cutable{Host: open(t, cfg)}
	eventually(t, "it to begin", func() bool { return h.ran(t) == 1 })
	if err := os.WriteFile(filepath.Join(h.Root(), "full"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one of its own", func() bool {
		var out bytes.Buffer
		err := h.Run(t.Context(), host.Command{Argv: []string{h.Root() + "/bin/loud", h.Root()}, Stdout: &out})
		if err != nil && !strings.Contains(fmt.Sprint(err), "it says much to nobody") {
			t.Fatal(err)
		}
		return out.String() == "fine\n"
	})
}
