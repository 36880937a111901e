package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

// shellBlocks are the pieces of shell in a page, as they stand there.
func shellBlocks(t *testing.T, file string) []string {
	t.Helper()
	var blocks []string
	var block *strings.Builder
	indent := ""
	for line := range strings.Lines(read(t, file)) {
		at := strings.Index(line, "```")
		switch {
		case block == nil && at >= 0 && strings.TrimSpace(line) == "```sh":
			block, indent = &strings.Builder{}, line[:at]
		case block != nil && at >= 0:
			blocks = append(blocks, block.String())
			block = nil
		case block != nil:
			block.WriteString(strings.TrimPrefix(line, indent))
		}
	}
	return blocks
}

// step is one block of docs/ssh.md.
type step struct {
	begins string // its first line begins so
	// skip says why it is not carried out; empty: it is.
	skip string
	// before is done first; attached machines are given back after each attach when each is set.
	before string
	each   bool
	// without is how a line ends that is left out.
	without string
	// lines are patterns of what it says.
	lines []string
}

// laptop is a user of this computer who does what the page says, at machines
// that the ssh configuration leads to in place of those of the page.
type laptop struct {
	testenv.SSHAccount
	env  []string
	says *strings.Replacer
}

// newLaptop makes one, and the machines. What is not the real thing: the names
// of the machines and of who logs in there; the GPU, whose nvidia-smi says what
// one was recorded to say; torch and numpy, which stand for the real ones; and
// pass, which is asked for a password.
func newLaptop(t *testing.T) *laptop {
	t.Helper()
	const word = "..." // as the page writes it
	index := testenv.PyIndex(t)
	smi := map[string]string{
		".bashrc": "PATH=$HOME/bin:$PATH\n", "bin/h100.xml": read(t, "../../internal/inventory/testdata/h100.xml"),
		"bin/nvidia-smi": "#!/bin/sh\ncase \"$*\" in *-q*) cat ~/bin/h100.xml ;; *-L*) ;; '') echo NVIDIA-SMI ;; *) exit 1 ;; esac\n",
	}
	server := testenv.SSHD(t, testenv.SSHOptions{Config: []string{"SetEnv PIP_INDEX_URL=" + index.URL}})
	gpubox := server.User(testenv.SSHUser{Password: word, Files: smi})
	other := server.User(testenv.SSHUser{Password: word})
	bastion := testenv.SSHD(t, testenv.SSHOptions{Config: []string{"PubkeyAuthentication no"}})
	way := bastion.User(testenv.SSHUser{Password: word, Shell: "/usr/sbin/nologin"})
	l := &laptop{SSHAccount: server.User(testenv.SSHUser{})}
	// What he has: the program, an ssh configuration, and answers to what he is asked.
	program := testenv.Runner(t).Bin
	at := func(address string) string {
		_, port, _ := strings.Cut(address, ":")
		return "\n  HostName 127.0.0.1\n  Port " + port + "\n"
	}
	l.has(t, "bin/runner", read(t, program), 0o755)
	l.has(t, "bin/pass", "#!/bin/sh\necho "+word+"\n", 0o755)
	l.has(t, "bin/answer", "#!/bin/sh\ncase $1 in *passphrase*) echo ;; *yes/no*) echo yes ;; *) echo "+word+" ;; esac\n", 0o755)
	l.has(t, ".ssh/config", "Host gpubox.example.org 10.0.0.5"+at(server.Address)+"Host gpubox"+at(server.Address)+"  User "+gpubox.Name+"\n  ProxyJump bastion\n"+
		"Host bastion"+at(bastion.Address)+"  User "+way.Name+"\n  UserKnownHostsFile "+bastion.KnownHosts+"\n", 0o600)
	l.has(t, "gpubox.secret", word+"\n", 0o600)
	l.has(t, "micromamba", read(t, filepath.Join(testenv.Conda(t).For(t, gpubox).BinDir, "micromamba")), 0o755)
	l.env = []string{
		"HOME=" + l.Home, "USER=" + l.Name, "PATH=" + l.Home + "/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "RUNNER_AGENT_IDLE=60s", "PHRASE=swordfish",
		"SSH_ASKPASS=" + l.Home + "/bin/answer", "SSH_ASKPASS_REQUIRE=force",
	}
	l.says = strings.NewReplacer("me@gpubox.example.org", gpubox.Name+"@gpubox.example.org", "me@10.0.0.5", other.Name+"@10.0.0.5",
		"/run/secrets/gpubox", l.Home+"/gpubox.secret", "attach ssh gpubox ", "attach ssh gpubox --allow-same-machine ")
	for _, dir := range []string{gpubox.Home, l.Home} {
		for _, name := range []string{"bin/nvidia-smi", "bin/runner"} {
			if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { l.does(t, context.WithoutCancel(t.Context()), "runner agent stop") })
	return l
}

// has gives him a file.
func (l *laptop) has(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(l.Home, name)
	for _, err := range []error{
		os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode),
		os.Chown(filepath.Dir(path), l.UID, l.UID), os.Chown(path, l.UID, l.UID),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// does runs commands as he would, where the last ones ended, and gives all that
// they said.
func (l *laptop) does(t *testing.T, ctx context.Context, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	const around = "cd \"$(cat ~/.here 2>/dev/null || echo ~)\"\n%s\npwd >~/.here\n"
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", fmt.Sprintf(around, l.says.Replace(script)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(l.UID), Gid: uint32(l.UID)}, Setsid: true}
	cmd.Env, cmd.Dir, cmd.Stdin = l.env, "/", strings.NewReader("\n") // what ssh-keygen proposes
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s\nsaid\n%s", err, script, out.String())
	}
	return out.String()
}

// TestEndDocsSSH does what docs/ssh.md says, block by block, from a machine
// that nobody is known to, to outputs that came home.
func TestEndDocsSSH(t *testing.T) {
	t.Parallel()
	blocks := shellBlocks(t, "../../docs/ssh.md")
	steps := []step{
		{begins: "sudo apt-get update", skip: "it needs root on a bare Ubuntu, and a GPU"},
		{begins: "ssh-keygen", lines: []string{"NVIDIA-SMI"}},
		{begins: "runner compute attach ssh gpubox", lines: []string{".*NVIDIA H100.*", ".*in order.*|.*[Pp]ython.*"}},
		{begins: "mkdir gpu-test", lines: []string{"stand-in for GPU-.* 4096.0"}},
		{begins: "runner show @last", lines: []string{"gpu-test-.*  Completed", "3 files of gpu-test-.* in ."}},
		{
			begins: "SSHPASS=...", each: true,
			before: "test \"$(find outputs logs -type f -size +0 | sort | tr '\\n' ' ')\" = 'logs/environment_log.txt logs/std_log.txt outputs/x.pt '\nrunner compute detach gpubox\nssh-keygen -q -t ed25519 -a 1 -N swordfish -f key\nssh-copy-id -i key me@10.0.0.5",
		},
		{begins: "runner compute attach ssh gpubox --address gpubox --jump", each: true, before: "pass | runner secret set BASTION"},
		{begins: "make build cross", skip: "it builds four times, in the source"},
		{
			begins: "runner compute attach ssh gpubox --address me@gpubox.example.org --install-micromamba\n", each: true,
			before: "cp ~/micromamba .", without: "--install-micromamba\n", // that one fetches a release from the internet
			lines: []string{"  micromamba +2.* installed from .*"},
		},
		{begins: "runner compute attach ssh gpubox --address me@gpubox.example.org --as instance"},
		{begins: "runner compute detach gpubox"},
	}
	if len(blocks) != len(steps) {
		t.Fatalf("the page has %d blocks of shell, and %d are known here", len(blocks), len(steps))
	}
	l := newLaptop(t)
	for i, s := range steps {
		if !strings.HasPrefix(blocks[i], s.begins) {
			t.Fatalf("block %d does not begin with %q:\n%s", i+1, s.begins, blocks[i])
		}
		if s.skip != "" {
			continue
		}
		if s.before != "" {
			t.Log(l.does(t, t.Context(), s.before))
		}
		var block strings.Builder
		for line := range strings.Lines(blocks[i]) {
			if s.without != "" && strings.HasSuffix(line, s.without) {
				continue
			}
			block.WriteString(line)
			if s.each && strings.Contains(line, " attach ") {
				block.WriteString("runner compute detach gpubox\n")
			}
		}
		out := l.does(t, t.Context(), block.String())
		t.Logf("%s\n%s", block.String(), out)
		wantLines(t, out, s.lines...)
		if t.Failed() {
			return // what follows builds on it
		}
	}
}
