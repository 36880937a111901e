package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/testenv"
)

// sshBox is a machine of a kind, and the program with what gets in.
type sshBox struct {
	*testenv.SSHBox
	cli *testenv.CLI
	// home is that of the program's user.
	home string
	// flags of attaching it.
	flags []string
	// before is what its user had before we came.
	before []string
	// made is when it was made.
	made time.Time
}

// newSSHBox starts a machine. The program's user has an ssh configuration for
// it, and nothing else.
func newSSHBox(t *testing.T, kind testenv.SSHKind) *sshBox {
	t.Helper()
	b := &sshBox{made: time.Now().Add(-time.Second), SSHBox: kind.Open(t)}
	b.before = b.elsewhere(t)
	b.home = t.TempDir()
	config, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.home, ".ssh", "config"), string(config))
	b.cli = testenv.Runner(t, "HOME="+b.home, "SSH_AUTH_SOCK="+b.AgentSocket, "BOX_PASSWORD="+b.Password, "BOX_PASSPHRASE="+b.Passphrase, "JUMP_PASSWORD="+b.JumpPassword)
	b.flags = []string{"--address", b.Account.Name + "@" + b.Server.Address, "--allow-same-machine"}
	for _, one := range []struct {
		needed bool
		flag   string
		value  string
	}{
		{b.Identity != "", "--identity", b.Identity},
		{b.Password != "", "--password", "env:BOX_PASSWORD"},
		{b.Passphrase != "", "--passphrase", "env:BOX_PASSPHRASE"},
		{b.JumpPassword != "", "--jump-password", b.JumpHost + "=env:JUMP_PASSWORD"},
	} {
		if one.needed {
			b.flags = append(b.flags, one.flag, one.value)
		}
	}
	return b
}

func (b *sshBox) attach(t *testing.T, more ...string) {
	t.Helper()
	b.cli.Run(append(append([]string{"compute", "attach", "ssh", "box"}, b.flags...), more...)...)
}

// detach gives it back, and sees that nothing of ours stays.
func (b *sshBox) detach(t *testing.T) {
	t.Helper()
	b.cli.Run("compute", "detach", "box")
	if left, err := os.ReadDir(filepath.Join(b.Account.Home, ".runner")); err == nil {
		t.Error("left on the machine:", left)
	}
	if d := cmp.Diff(b.before, b.elsewhere(t)); d != "" {
		t.Error("what its user has elsewhere has changed:", d)
	}
	deadline := time.Now().Add(30 * time.Second)
	for left := b.processes(t); len(left) > 0; left = b.processes(t) {
		if time.Now().After(deadline) {
			t.Fatal("processes of ours are left:", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// elsewhere are the files that are its user's, but for those in ~/.runner, and
// what fish keeps for itself.
func (b *sshBox) elsewhere(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, dir := range []string{b.Account.Home, os.TempDir(), "/var/tmp", "/dev/shm"} {
		if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
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
			own := info.Sys().(*syscall.Stat_t).Uid == uint32(b.Account.UID)
			switch {
			case dir != b.Account.Home && path == filepath.Dir(b.Account.Home), path == filepath.Join(b.Account.Home, ".runner"), entry.Name() == "fish":
				return fs.SkipDir
			case own && path != b.Account.Home && !entry.IsDir():
				found = append(found, path)
			case !own && entry.IsDir() && path != dir:
				return fs.SkipDir
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// processes are command lines of ours, as the machine's user.
func (b *sshBox) processes(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(b.Account.UID) {
			continue
		}
		if line, _ := os.ReadFile(filepath.Join(dir, "cmdline")); strings.Contains(string(line), "/.runner/") {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// Attached, used by an agent that came again without anybody to ask, and given
// back: with machines, users and logins of all kinds.
func TestEndSSHKinds(t *testing.T) {
	for _, kind := range testenv.SSHKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			b := newSSHBox(t, kind)
			b.attach(t)
			b.cli.Run("agent", "stop")
			b.cli.Env = append(b.cli.Env, "BOX_PASSWORD=", "BOX_PASSPHRASE=", "JUMP_PASSWORD=")
			dir := t.TempDir()
			write(t, filepath.Join(dir, "train.py"), "import os\nprint('Grüße von', os.environ['RUNNER_EXPERIMENT'])\nopen('outputs/model', 'w').write('model')\n")
			s := say(t, b.cli, nil, "submit", "--target", "box", "--set", "experiment=kinds", filepath.Join(dir, "train.py"))
			s.want(t, 0)
			if s.out != "Grüße von kinds\n" {
				t.Errorf("it said %q", s.out)
			}
			b.cli.Run("outputs", "@last", "--to", dir)
			if data, err := os.ReadFile(filepath.Join(dir, "outputs", "model")); string(data) != "model" {
				t.Error(string(data), err)
			}
			wantLines(t, b.cli.Run("compute", "check", "box"), "in order")
			b.detach(t)
		})
	}
}

// Environments that are made there: a venv, conda with the micromamba that
// attaching brings, and what needs none.
func TestEndSSHEnvironments(t *testing.T) {
	t.Parallel()
	conda, index := testenv.Conda(t), testenv.PyIndex(t)
	b := newSSHBox(t, testenv.SSHKind{})
	conda = conda.For(t, b.Account)
	program, err := os.ReadFile(filepath.Join(conda.BinDir, "micromamba"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	digest := hex.EncodeToString(sum[:])
	files := http.NewServeMux()
	files.HandleFunc("GET /micromamba", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(program) })
	files.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	web := httptest.NewServer(files)
	t.Cleanup(web.Close)
	attach := append([]string{"compute", "attach", "ssh", "box"}, b.flags...)
	for _, c := range []struct {
		name  string
		flags []string
		code  int
		lines []string
	}{
		{"nothing there", []string{"--install-micromamba=" + web.URL + "/none"}, 2, []string{"error: install micromamba from " + web.URL + "/none: 404 Not Found", "hint: check the address, .*"}},
		{"another digest", []string{"--install-micromamba=" + web.URL + "/page", "--micromamba-sha256", digest}, 2, []string{"error: install micromamba from .*: its sha256 is [0-9a-f]+, not " + digest, "hint: compare it .*"}},
		{"not a program", []string{"--install-micromamba=" + web.URL + "/page"}, 2, []string{"error: install micromamba from .*: it does not run there: .*", "hint: is it a micromamba for linux/.*"}},
		{"not over https", []string{"--install-micromamba=http://micromamba.invalid/x"}, 2, []string{"error: .*: what does not come over https needs --micromamba-sha256", "hint: .*"}},
		{"no such file", []string{"--install-micromamba=nowhere"}, 2, []string{"error: --install-micromamba: stat .*nowhere: no such file or directory: runner compute attach ssh"}},
		{"no digest", []string{"--install-micromamba", "--micromamba-sha256", "abc"}, 2, []string{"error: --micromamba-sha256: not a sha256 of 64 hexadecimal digits: runner compute attach ssh"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			say(t, b.cli, nil, append(attach[:len(attach):len(attach)], c.flags...)...).want(t, c.code, c.lines...)
			if left, err := os.ReadDir(filepath.Join(b.Account.Home, ".runner")); err == nil {
				t.Error("left on the machine:", left)
			}
		})
	}
	b.attach(t, "--install-micromamba="+web.URL+"/micromamba", "--micromamba-sha256", digest)
	page := b.cli.Run("compute", "show", "box")
	wantLines(t, page, "  micromamba +2.0.5.* installed from "+web.URL+"/micromamba .sha256 "+digest+".", "  conda +micromamba 2.0.5.*")

	for _, c := range []struct{ name, script, text, spec, out string }{
		{
			"venv", "a.py", "import runner_words\nprint(runner_words.GREETING)\n",
			"environment: {python: {pip: [runner-words==1.0, --index-url=" + index.URL + "]}}\n", "hello\n",
		},
		{
			"conda", "b.py", "import subprocess\nprint(*subprocess.check_output('runner-tool', text=True).split()[:2])\n",
			"environment: {python: {conda: {channels: ['" + conda.Channel + "'], dependencies: [python, runner-tool=1.0]}}}\n", "runner-tool 1.0\n",
		},
		{"shell script", "c.sh", "echo \"$1\" from $RUNNER_ATTEMPT\n", "arguments: [\"it's 'quoted' ü\"]\n", "it's 'quoted' ü from 1\n"},
		{
			"two processes", "d.py", "import os\nprint(os.environ['RANK'], os.environ['WORLD_SIZE'], os.environ['MASTER_ADDR'] != '')\n",
			"distributed: {framework: pytorch, processes_per_node: 2}\n", "[rank 0] 0 2 True\n[rank 1] 1 2 True\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, c.script), c.text)
			spec := write(t, filepath.Join(dir, "job.yaml"), "script: "+c.script+"\ncompute_target: box\n"+c.spec)
			s := say(t, b.cli, nil, "submit", spec)
			s.want(t, 0)
			if sorted(s.out) != c.out {
				t.Errorf("it said %q, not %q\n%s", s.out, c.out, s.err)
			}
		})
	}
	b.detach(t)
}

// sorted are lines in order: processes write as they like.
func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
