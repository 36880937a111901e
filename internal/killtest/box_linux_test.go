package killtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// patience is how long something may take that has to happen, on a machine that is busy with much else.
const patience = 3 * time.Minute

// box is a machine at the end of a line of its own, attached as "box" by an installation of its own.
type box struct {
	*testing.T
	cli    *testenv.CLI
	net    *testenv.Netns // nil: it is on loopback, at the end of other lines
	server *testenv.SSHServer
	user   testenv.SSHAccount
	// slow makes its line carry so many bytes a second.
	slow func(bytesPerSecond int64)
	// follower of the run's log, if there is one.
	follower *following
	// asked counts what the machine's package index was asked for; it holds files back while held.
	asked atomic.Int64
	held  atomic.Pointer[chan struct{}]
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{T: t, net: testenv.Namespace(t)}
	b.slow = b.net.Slow
	index := b.serveIndex(b.net.Listen())
	b.server = testenv.SSHD(t, testenv.SSHOptions{Net: b.net, Config: []string{"SetEnv PIP_INDEX_URL=" + index}})
	b.user = b.server.User(testenv.SSHUser{})
	b.cli = testenv.Runner(t, "DOCKER_HOST=unix:///nowhere", "SSH_AUTH_SOCK=")
	return b
}

// attach attaches the box, and says where it is.
func (b *box) attach() {
	b.Helper()
	if b.net == nil { // the ssh configuration says where
		b.cli.Run("compute", "attach", "ssh", "box", "--allow-same-machine")
		return
	}
	b.cli.Run("compute", "attach", "ssh", "box", "--address", b.user.Name+"@"+b.server.Address, "--identity", b.user.Key,
		"--host-key", b.server.Fingerprint, "--allow-same-machine")
}

// serveIndex is a package index on the machine itself: it is there also while the line is cut.
func (b *box) serveIndex(listener net.Listener) string {
	index := testenv.PyIndex(b)
	at, err := url.Parse(index.URL)
	if err != nil {
		b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: at.Scheme, Host: at.Host})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // who asked may go
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/files/") {
			b.asked.Add(1)
			if held := b.held.Load(); held != nil {
				select {
				case <-*held:
				case <-r.Context().Done():
				}
			}
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String() + at.Path
}

// hold keeps the index from giving files until release is called.
func (b *box) hold() (release func()) {
	c := make(chan struct{})
	b.held.Store(&c)
	return func() { b.held.Store(nil); close(c) }
}

// ours is a path in the box's directory for our things.
func (b *box) ours(name string) string { return filepath.Join(b.user.Home, ".runner", name) }

func (b *box) show(id string) run.Run {
	b.Helper()
	r, err := b.look(id)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *box) look(id string) (run.Run, error) {
	var r run.Run
	out, err := b.cli.Try("show", id, "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &r)
	}
	return r, err
}

// eventually waits for what has to happen.
func (b *box) eventually(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// work is a run that a test sends to the box.
type work struct {
	lines  int
	pause  string // after each line, for sleep
	bytes  int64  // of source, which come back as outputs
	code   int
	python bool // in an environment that has to be made
}

// source writes a source directory and gives the path of its spec.
func (b *box) source(w work) string {
	b.Helper()
	dir := b.TempDir()
	const each = 1 << 20
	for i := range w.bytes / each {
		data := make([]byte, each)
		_, _ = rand.Read(data) // never fails
		b.write(filepath.Join(dir, "data", fmt.Sprintf("%03d", i)), data)
	}
	b.write(filepath.Join(dir, "script.sh"), fmt.Appendf(nil, `echo start >>"$HOME/starts"
i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; sleep %s; done
[ ! -d data ] || cp -R data outputs/
echo result >outputs/result
echo end >>"$HOME/starts"
exit %d
`, w.lines, w.pause, w.code))
	spec := "experiment: cut\ncompute_target: box\ncommand: sh script.sh\n"
	if w.python {
		spec += "environment: {python: {pip: [runner-greet]}}\n"
	}
	b.write(filepath.Join(dir, "job.yaml"), []byte(spec))
	return filepath.Join(dir, "job.yaml")
}

func (b *box) write(name string, data []byte) {
	b.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
		b.Fatal(err)
	}
}

func (b *box) submit(spec string) (id string) {
	b.Helper()
	return strings.TrimSpace(b.cli.Run("submit", "--detach", spec))
}

// log is what the script of w writes.
func (w work) log() string {
	var b strings.Builder
	for i := range w.lines {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

// ended waits for the run's end and checks that it is the one that was meant, whole, and happened once.
func (b *box) ended(id string, w work, spec string) {
	b.Helper()
	b.eventually("the end of "+id, func() bool { r, err := b.look(id); return err == nil && r.State.Ended() })
	want := run.OutcomeCompleted
	if w.code != 0 {
		want = run.OutcomeScriptFailed
	}
	r := b.show(id)
	if r.Outcome == nil || *r.Outcome != want || r.ExitCode == nil || *r.ExitCode != w.code || len(r.Attempts) != 1 {
		b.Errorf("it should have ended %s with %d in one attempt: %s", want, w.code, b.cli.Run("show", id, "-o", "json"))
	}
	if starts, err := os.ReadFile(filepath.Join(b.user.Home, "starts")); err != nil || string(starts) != "start\nend\n" {
		b.Errorf("what the script left outside: %q, %v", starts, err)
	}
	if log := b.cli.Run("logs", id); log != w.log() {
		b.Errorf("the log is not what was written: %d bytes, want %d\n%s", len(log), len(w.log()), firstDifference(log, w.log()))
	}
	outputs := filepath.Join(b.cli.Home, "runs", id, "attempts", "1", "outputs")
	if w.bytes > 0 {
		if got, want := digests(b, filepath.Join(outputs, "data")), digests(b, filepath.Join(filepath.Dir(spec), "data")); got != want {
			b.Errorf("outputs are not what was written:\n%s\nwant:\n%s", got, want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(outputs, "result")); err != nil || string(data) != "result\n" {
		b.Errorf("outputs/result: %q, %v", data, err)
	}
	b.nothingLeft()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// digests of all files below a directory.
func digests(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		fmt.Fprintf(&all, "%s %x\n", strings.TrimPrefix(name, dir), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all.String()
}

// nothingLeft waits until neither a process nor a file of a run is on the machine any more: only the process there that
// answers our questions, and what is kept.
func (b *box) nothingLeft() {
	b.Helper()
	for deadline := time.Now().Add(patience); len(b.left()) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("left on the machine:\n%s", strings.Join(b.left(), "\n"))
		}
	}
}

func (b *box) left() []string {
	var left []string
	entries, err := os.ReadDir(b.ours("runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		left = append(left, err.Error())
	}
	for _, e := range entries { // the checkpoint directory is kept
		if attempts := b.ours("runs/" + e.Name() + "/attempts"); exists(attempts) {
			left = append(left, attempts)
		}
	}
	serving, watching := 0, 0
	for _, p := range processesOf(b.user.UID) {
		line := strings.Join(p.argv, " ")
		switch {
		case strings.HasPrefix(line, "sshd:"), strings.Contains(p.argv[0], "sftp-server"):
		case strings.Contains(line, " onhost serve "):
			serving++
		case strings.Contains(line, " onhost watch "):
			watching++
		default:
			left = append(left, fmt.Sprintf("process %d: %s", p.pid, line))
		}
	}
	if serving > 1 || watching > 1 {
		left = append(left, fmt.Sprintf("%d processes that answer, %d that watch", serving, watching))
	}
	return left
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

type process struct {
	pid  int
	argv []string
}

// processesOf a user.
func processesOf(uid int) []process {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	var all []process
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(uid) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(line) == 0 { // a zombie has none
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil {
			all = append(all, process{pid: pid, argv: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")})
		}
	}
	return all
}

// size of all files below a directory, in bytes; zero for none.
func size(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() { // it changes under our eyes
			return nil //nolint:nilerr // what is gone has no size
		}
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// following is a "runner logs -f" at work.
type following struct {
	cmd   *exec.Cmd
	out   *grown
	ended chan error
}

// grown is an output that is looked at while it grows.
type grown struct {
	path string
}

func (g grown) String() string {
	data, err := os.ReadFile(g.path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (b *box) follow(id string) *following {
	b.Helper()
	f := &following{out: &grown{filepath.Join(b.TempDir(), "log")}, ended: make(chan error, 1)}
	out, err := os.Create(f.out.path)
	if err != nil {
		b.Fatal(err)
	}
	var said bytes.Buffer
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	f.cmd = exec.CommandContext(ctx, b.cli.Bin, "logs", "-f", id)
	f.cmd.Env, f.cmd.Stdout, f.cmd.Stderr = b.cli.Env, out, &said
	if err := f.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		err := f.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, &said)
		}
		f.ended <- errors.Join(err, out.Close())
	}()
	b.Cleanup(cancel)
	return f
}

// whole checks that the follower saw all of the log, once, and ended with the run.
func (f *following) whole(b *box, w work) {
	b.Helper()
	select {
	case err := <-f.ended:
		if err != nil && !errors.Is(err, io.EOF) {
			b.Errorf("logs -f: %v", err)
		}
	case <-time.After(patience):
		b.Fatal("logs -f does not end")
	}
	if got := f.out.String(); got != w.log() {
		b.Errorf("logs -f: %s", firstDifference(got, w.log()))
	}
}
