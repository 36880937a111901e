package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// Greeting is what a machine says of itself at each login, all in one answer.
type Greeting struct {
	// Root is our directory there, by its real path.
	Root     string
	Platform host.Platform
	// Files are those of Config.Ask, by the names they have there. One that was
	// there and could not be read as text is not among them.
	Files map[string]Found
}

// Found is a file as a login found it.
type Found struct {
	There   bool
	Content string
}

// maxLines is how long a file may be that a greeting brings.
const maxLines = 200

// facts prints what a Greeting holds, each word with a zero byte behind it. Of
// what is asked for often, nothing is a program of its own where the shell can
// tell it, and all is in a shell of its own that changes nothing of the one
// that may become the command ahead.
const facts = `(
LC_ALL=C; export LC_ALL
root=%[1]s
[ -d "$root" ] || (umask 077; mkdir -p -- "$root") || exit 1
cd -P -- "$root" || exit 1
w() { printf '%%s\0' "$@"; }
boot=
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || boot=$(sysctl -n kern.boottime 2>/dev/null)
w "$PWD" "$(uname -snm)" "$(id -u)" "$(id -g)" "$HOME" "$boot"
f() {
if [ ! -e "$1" ]; then w none ''; return; fi
if [ ! -f "$1" ] || [ ! -r "$1" ]; then w other ''; return; fi
printf 'file\0'
n=0
while IFS= read -r l || [ -n "$l" ]; do
n=$((n+1)); [ $n -le %[2]d ] || break
printf '%%s\n' "$l"
done <"$1"
printf '\0'
}
%[3]s
) || exit 1
`

// greetingScript says what is asked for, and starts what is to be started
// ahead: the last word says whether it is.
func greetingScript(root string, ask, ahead []string) string {
	inHome, isInHome := strings.CutPrefix(root, "~/")
	where := host.Quote(inHome)
	if isInHome || !path.IsAbs(root) {
		where = `"$HOME"/` + where
	}
	var files strings.Builder
	for _, name := range ask {
		files.WriteString("f " + host.Quote(pathIn(".", name)) + "\n")
	}
	script := fmt.Sprintf(facts, where, maxLines, files.String())
	if len(ahead) == 0 {
		return script + "printf 'none\\0'\n"
	}
	program := host.Quote(ahead[0])
	return script + "cd -P -- " + where + " || exit 1\n" +
		"[ -x ./" + program + " ] || { printf 'none\\0'; exit 0; }\nprintf 'ahead\\0'\n" +
		`exec "$PWD"/` + program + " " + host.Quote(ahead[1:]...) + ` "$PWD"` + "\n"
}

// pathIn is a path, or one under root.
func pathIn(root, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return root + "/" + name
}

const (
	factWords = 6 // before the files
	fileWords = 2
)

// greeting reads what the script said; ahead tells that the command ahead runs.
func (c *Config) greeting(words []string) (g Greeting, ahead bool, err error) {
	if len(words) != c.words() {
		return g, false, fmt.Errorf("%w: %q", errPlatform, words)
	}
	g = Greeting{Root: words[0], Files: map[string]Found{}}
	if !path.IsAbs(g.Root) {
		return g, false, fmt.Errorf("make the root directory: the host says it is %q", g.Root)
	}
	if g.Platform, err = platformOf(words[1:factWords]); err != nil {
		return g, false, err
	}
	for i, name := range c.Ask {
		at := factWords + i*fileWords
		switch words[at] {
		case "file":
			g.Files[pathIn(g.Root, name)] = Found{There: true, Content: words[at+1]}
		case "none":
			g.Files[pathIn(g.Root, name)] = Found{}
		}
	}
	return g, words[len(words)-1] == "ahead", nil
}

// words is how many a greeting has.
func (c *Config) words() int { return factWords + len(c.Ask)*fileWords + 1 }

var errPlatform = errors.New("the host does not say what it is")

// platformOf reads what uname, id and the system said.
func platformOf(words []string) (host.Platform, error) {
	names := strings.Fields(words[0])
	uid, uidErr := strconv.Atoi(words[1])
	gid, gidErr := strconv.Atoi(words[2])
	const few = 3 // system, node, machine
	if err := errors.Join(uidErr, gidErr); err != nil || len(names) < few {
		return host.Platform{}, fmt.Errorf("%w: %q", errPlatform, words)
	}
	last := len(names) - 1
	return host.Platform{
		OS: strings.ToLower(names[0]), Arch: archOf(names[last]), Hostname: strings.Join(names[1:last], " "),
		UID: uid, GID: gid, Home: words[3], BootID: bootOf(words[4]),
	}, nil
}

// archOf says in Go's words what uname says.
func archOf(machine string) string {
	switch machine {
	case "x86_64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "386"
	case "loongarch64":
		return "loong64"
	}
	if strings.HasPrefix(machine, "armv") {
		return "arm"
	}
	return machine // ppc64le, s390x, riscv64: the same words
}

// bootOf takes the seconds from what macOS says: "{ sec = 1700000000, usec = 0 } ...".
func bootOf(said string) string {
	if rest, ok := strings.CutPrefix(said, "{ sec = "); ok {
		said, _, _ = strings.Cut(rest, ",")
	}
	return strings.TrimSpace(said)
}

// welcome hears a connection's greeting, and ends one that is of no use. first
// says that it is the only one: then the command ahead is started.
func (h *Host) welcome(ctx context.Context, c *conn, first bool) error {
	mute := &MuteError{Address: h.Address(), After: h.cfg.GreetTimeout}
	within, cancel := context.WithTimeoutCause(ctx, h.cfg.GreetTimeout, mute)
	defer cancel()
	g, err := c.greet(within, h.life, h.cfg, first)
	switch {
	case err == nil:
		err = h.accept(g)
	case ctx.Err() == nil && errors.Is(err, mute):
		err = mute
	}
	if err != nil {
		c.kill(errUnwanted)
	}
	if lost, ok := errors.AsType[*LostError](err); ok { // there is no command whose fate anybody asks for
		return &UnreachableError{Address: lost.Address, Err: lost.Err}
	}
	return err
}

// errUnwanted is a connection that nobody will use.
var errUnwanted = errors.New("it is of no use")

// accept takes a greeting in, if whoever uses the host agrees.
func (h *Host) accept(g Greeting) error {
	h.mu.Lock()
	judge := h.judge
	h.mu.Unlock()
	if judge != nil {
		if err := judge(g); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.greeting = g
	return nil
}

// greet sends the greeting's script and hears the answer.
func (c *conn) greet(ctx, life context.Context, cfg Config, with bool) (Greeting, error) {
	var argv []string
	if with {
		argv = cfg.Ahead
	}
	words := newWordReader(cfg.words())
	a := newAhead(words)
	// What is ahead lives as long as the host; until then it is ctx that counts.
	running, cancel := context.WithCancelCause(life)
	a.cancel = cancel
	mark := newMark()
	e := execution{
		name: "log in", mark: mark, script: announce(mark) + greetingScript(cfg.Root, cfg.Ask, argv),
		stdin: a, stdout: (*aheadOutput)(a), stderr: (*aheadErrors)(a),
	}
	c.tasks.Go(func() {
		a.end, a.err = c.exec(running, e)
		cancel(nil)
		close(a.done)
	})
	whole := words.whole
	for {
		select {
		case <-whole:
			g, runs, err := cfg.greeting(words.all())
			if err == nil && runs {
				a.argv = append(slices.Clone(argv), g.Root)
				a.argv[0] = pathIn(g.Root, argv[0])
				c.ahead.Store(a)
				return g, nil
			}
			if err != nil {
				cancel(err)
				<-a.done
				return g, err
			}
			whole = nil // its shell ends
		case <-a.done:
			switch {
			case a.err != nil:
				return Greeting{}, a.err
			case a.end.code != 0:
				return Greeting{}, fmt.Errorf("make the root directory: %w", saidError(a.end, a.said.String()))
			}
			g, _, err := cfg.greeting(words.all())
			return g, err
		case <-ctx.Done():
			cancel(context.Cause(ctx))
			<-a.done
			return Greeting{}, fmt.Errorf("log in: %w", context.Cause(ctx))
		}
	}
}

// wordReader takes words that end with a zero byte, as many as are wanted.
type wordReader struct {
	left  int
	buf   []byte
	whole chan struct{}
}

func newWordReader(n int) *wordReader { return &wordReader{left: n, whole: make(chan struct{})} }

// take returns what comes after the words.
func (w *wordReader) take(p []byte) []byte {
	for w.left > 0 {
		i := bytes.IndexByte(p, 0)
		if i < 0 {
			w.buf = append(w.buf, p...)
			return nil
		}
		w.buf, p = append(w.buf, p[:i+1]...), p[i+1:]
		if w.left--; w.left == 0 {
			close(w.whole)
		}
	}
	return p
}

// all are the words that came; it may be called when no more will.
func (w *wordReader) all() []string {
	words := strings.Split(string(w.buf), "\x00")
	return words[:len(words)-1]
}
