package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// oddWord is a secret that stands nowhere else. What quotes it leaves its halves
// as they are.
func oddWord() string { return rand.Text() + ` 'ü"$HOME\` + rand.Text() }

// spellings are what would tell a word: its halves, plain, in hex and in base64.
func spellings(words ...string) [][]byte {
	var all [][]byte
	for _, word := range words {
		half := len(rand.Text())
		for _, part := range []string{word[:half], word[len(word)-half:]} {
			all = append(all, []byte(part), []byte(hex.EncodeToString([]byte(part))))
			for before := range 3 { // of what stands before it depends where its groups begin
				code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + part))
				all = append(all, []byte(code[4:len(code)-4]))
			}
		}
	}
	return all
}

// holders is where one of the texts stands: in files of the machine's user and
// of the agent, in what any process shows of itself, in what the agent answers.
func (b *sshBox) holders(t *testing.T, id string, texts [][]byte) []string {
	t.Helper()
	var found []string
	program, err := os.ReadFile(b.cli.Bin)
	if err != nil {
		t.Fatal(err)
	}
	look := func(kind, name string, data []byte) {
		if bytes.Equal(data, program) { // as it was built, and large
			return
		}
		if slices.ContainsFunc(texts, func(text []byte) bool { return bytes.Contains(data, text) }) {
			found = append(found, kind+": "+name)
		}
	}
	in := func(kind, dir string, everything bool) {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // gone meanwhile
			}
			switch own := info.Sys().(*syscall.Stat_t).Uid == uint32(b.Account.UID); {
			case everything, own && info.ModTime().After(b.made): // others had its number before
			case entry.IsDir() && path != dir && !own:
				return fs.SkipDir
			default:
				return nil
			}
			if !entry.Type().IsRegular() {
				return nil
			}
			if data, err := os.ReadFile(path); err == nil {
				look(kind, path, data)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	in("there", b.Account.Home, true)
	in("its server", b.Server.Dir, true)
	for _, dir := range []string{os.TempDir(), "/var/tmp", "/dev/shm"} {
		in("elsewhere", dir, false)
	}
	in("agent's home", b.cli.Home, true)
	in("our home", b.home, true)
	for _, what := range []string{"cmdline", "environ"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + what) // the pattern is right
		for _, name := range files {
			if data, err := os.ReadFile(name); err == nil { // it may have ended
				look("process", name, data)
			}
		}
	}
	for _, command := range [][]string{
		{"compute", "list", "-o", "wide"},
		{"compute", "list", "-o", "json"},
		{"compute", "show", "box"},
		{"compute", "show", "box", "-o", "json"},
		{"compute", "check", "box"},
		{"doctor", "box"},
		{"secret", "list", "-o", "json"},
		{"agent", "status"},
		{"ps", "--all", "-o", "json"},
		{"show", id},
		{"show", id, "-o", "json"},
		{"logs", id},
		{"outputs", id},
	} {
		s := say(t, b.cli, nil, command...)
		look("answer", strings.Join(command, " "), []byte(s.out+s.err))
	}
	socket := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(b.cli.Home, "agent.sock"))
	}}}
	for _, path := range []string{"agent", "targets", "targets/box", "runs", "runs/" + id, "runs/" + id + "/events", "runs/" + id + "/logs", "secrets", "environments"} {
		answer, err := socket.Get("http://agent/v1/" + path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %v", path, answer.Status, err)
		}
		look("socket", path, data)
	}
	return found
}

// A password, or the passphrase of a key, stands nowhere but where its owner
// put it: not on the machine, in no process, file, answer or error, while a run
// goes on there and after it.
func TestEndSSHSecretIsNowhere(t *testing.T) {
	for _, c := range []struct {
		name  string
		login testenv.SSHLogin
		flag  string
		ref   string // "file" and "secret" are made
	}{
		{"password of a variable", testenv.LoginPassword, "--password", "env:BOX_PASSWORD"},
		{"password of a file", testenv.LoginPassword, "--password", "file"},
		{"stored password", testenv.LoginPassword, "--password", "secret"},
		{"stored passphrase", testenv.LoginPassphrase, "--passphrase", "secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			word, wrong := oddWord(), oddWord()
			kind := testenv.SSHKind{User: testenv.SSHUser{Password: word}, Login: c.login}
			if c.login == testenv.LoginPassphrase {
				kind.User = testenv.SSHUser{Passphrase: word}
			}
			b := newSSHBox(t, kind)
			file := write(t, filepath.Join(b.home, "word"), word)
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
			switch c.ref {
			case "file":
				c.ref = "file:" + file
			case "secret":
				c.ref = "secret:BOX"
				b.store(t, "BOX", file)
			}
			b.flags[slices.Index(b.flags, c.flag)+1] = c.ref
			b.attach(t)
			b.cli.Run("agent", "stop") // its environment is that of whoever attached
			b.cli.Env = append(b.cli.Env, "BOX_PASSWORD=", "BOX_PASSPHRASE=")

			dir := t.TempDir()
			write(t, filepath.Join(dir, "main.sh"), "env | sort\necho begun\nwhile [ ! -e go ]; do sleep 0.1; done\necho done\n")
			id := detached(t, b.cli, "--target", "box", filepath.Join(dir, "main.sh"))
			soon(t, "the script has begun", func() bool { return strings.Contains(say(t, b.cli, nil, "logs", id).out, "\nbegun\n") })
			flags := slices.Clone(b.flags)
			flags[slices.Index(flags, c.flag)+1] = "env:WRONG"
			refused := say(t, b.cli, []string{"WRONG=" + wrong}, append([]string{"compute", "attach", "ssh", "other", "--remote-dir", ".other"}, flags...)...)
			refused.want(t, 3, "error: .* (does not let .* in .tried password.|the passphrase does not open it)")

			// What can be found is found: the run's id stands in places of all kinds.
			known := strings.Join(b.holders(t, id, [][]byte{[]byte(id)}), "\n")
			for _, kind := range []string{"there: ", "agent's home: ", "process: /proc/", "answer: show ", "socket: runs"} {
				if !strings.Contains("\n"+known, "\n"+kind) {
					t.Errorf("the run's id is not found in %q, so nothing would be; found in\n%s", kind, known)
				}
			}
			look := func(when string) {
				t.Helper()
				if d := cmp.Diff([]string{"our home: " + file}, b.holders(t, id, spellings(word, wrong))); d != "" { // its owner's, which is found
					t.Errorf("%s: %s", when, d)
				}
				for _, text := range spellings(word, wrong) {
					if bytes.Contains([]byte(refused.out+refused.err), text) {
						t.Errorf("in the error: %s", refused.err)
					}
				}
			}
			look("while it runs")
			write(t, filepath.Join(b.Account.Home, ".runner", "runs", id, "attempts", "1", "work", "go"), "")
			inState(t, b.cli, id, run.Completed)
			look("after it")
		})
	}
}

// store stores a secret that a file holds.
func (b *sshBox) store(t *testing.T, name, file string) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }() // only read
	cmd := exec.CommandContext(t.Context(), b.cli.Bin, "secret", "set", name)
	cmd.Env, cmd.Stdin = b.cli.Env, in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secret set: %v: %s", err, out)
	}
}
