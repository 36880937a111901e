package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/host"
)

const (
	// toolLimit is how long one tool may take, its killing included.
	toolLimit = 10 * time.Second
	// killLimit of that is kept for ending a tool: SIGTERM, grace, SIGKILL.
	killLimit = 2500 * time.Millisecond
	// maxFile and maxSaid bound what is read of a file and of a tool.
	maxFile = 1 << 20
	maxSaid = 16 << 20
)

// errHung is a tool that did not end in time.
var errHung = errors.New("it does not answer")

// asker asks a host.
type asker struct {
	host  host.Host
	local bool
	limit time.Duration
}

func newAsker(h host.Host, limit time.Duration) *asker {
	if limit <= 0 {
		limit = toolLimit
	}
	_, local := h.(host.Local)
	return &asker{host: h, local: local, limit: limit}
}

// read is a small file's text; ok is false when it cannot be read.
func (a *asker) read(ctx context.Context, name string) (text string, ok bool) {
	f, err := a.host.Open(ctx, name)
	if err != nil {
		return "", false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	_ = f.Close() // only read
	return string(data), err == nil
}

// said is what a tool wrote.
type said struct {
	out, err bounded
}

// words is what it wrote in one line, for a message.
func (s *said) words() string {
	text := strings.TrimSpace(s.err.String())
	if text == "" {
		text = strings.TrimSpace(s.out.String())
	}
	return oneLine(text)
}

// oneLine is a text on one line and not longer than a message should be.
func oneLine(text string) string {
	const longest = 300
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "..."
	}
	return text
}

// run runs a tool to its end, or to the limit: errHung. A tool that even
// SIGKILL does not end (it sits in a driver's call) is left behind together
// with the goroutine that waits for it; there is nothing that could end either.
func (a *asker) run(ctx context.Context, argv ...string) (*said, error) {
	kept := min(killLimit, a.limit/4)
	asked, cancel := context.WithTimeoutCause(ctx, a.limit-kept, errHung)
	s := &said{}
	ended := make(chan error, 1)
	defer cancel()
	go func() {
		ended <- a.host.Run(asked, host.Command{Argv: argv, Dir: "/", Env: []string{"LC_ALL=C"}, Stdout: &s.out, Stderr: &s.err})
	}()
	limit := time.NewTimer(a.limit)
	defer limit.Stop()
	select {
	case err := <-ended:
		if err != nil && errors.Is(context.Cause(asked), errHung) && !errors.Is(err, errHung) {
			err = fmt.Errorf("run %s: %w: %w", argv[0], errHung, err)
		}
		return s, err
	case <-limit.C:
		return &said{}, fmt.Errorf("run %s: %w", argv[0], errHung)
	}
}

// find gives the paths of the executables called names: in the directories of
// PATH, then in more, those of an earlier directory first, of one directory in
// the order of names.
func (a *asker) find(ctx context.Context, names, more []string) []string {
	if !a.local {
		return a.findRemote(ctx, names, more)
	}
	var found []string
	seen := map[string]bool{}
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), more...) {
		if !path.IsAbs(dir) || seen[path.Clean(dir)] {
			continue
		}
		seen[path.Clean(dir)] = true
		for _, n := range names {
			p := path.Join(dir, n)
			info, err := a.host.Stat(ctx, p)
			if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				found = append(found, p)
			}
		}
	}
	return found
}

// findScript takes the extra directories, colon-separated, and the names.
const findScript = `dirs=$PATH:$1; shift; IFS=:; for d in $dirs; do case $d in /*) for n in "$@"; do
[ -f "$d/$n" ] && [ -x "$d/$n" ] && printf '%s\n' "$d/$n"; done;; esac; done; exit 0`

func (a *asker) findRemote(ctx context.Context, names, more []string) []string {
	s, err := a.run(ctx, append([]string{"sh", "-c", findScript, "sh", strings.Join(more, ":")}, names...)...)
	if err != nil {
		return nil
	}
	var found []string
	seen := map[string]bool{}
	for line := range strings.Lines(s.out.String()) {
		if p := strings.TrimRight(line, "\n"); path.IsAbs(p) && !seen[p] {
			seen[p] = true
			found = append(found, p)
		}
	}
	return found
}

// first is the first path that find gives; empty: there is none.
func (a *asker) first(ctx context.Context, name string, more ...string) string {
	for _, p := range a.find(ctx, []string{name}, more) {
		return p
	}
	return ""
}

// writable reports whether we may write to a file or make files in a directory.
func (a *asker) writable(ctx context.Context, name string) bool {
	if a.local {
		return unix.Access(name, unix.W_OK) == nil
	}
	_, err := a.run(ctx, "test", "-w", name)
	return err == nil
}

// exists reports whether a path is there; when nobody can tell, it is not.
func (a *asker) exists(ctx context.Context, name string) bool {
	_, err := a.host.Stat(ctx, name)
	return err == nil
}

// missing reports whether err says that a file is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// bounded keeps the first maxSaid bytes written to it.
type bounded struct{ buf bytes.Buffer }

// Write never fails: what is too much is dropped.
func (b *bounded) Write(p []byte) (int, error) {
	if room := maxSaid - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *bounded) String() string { return b.buf.String() }
