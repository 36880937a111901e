package supervise_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// line is a host far away, over a line that counts what is fed to commands, and
// breaks.
type line struct {
	faraway
	path string // PATH there; empty: ours

	mu   sync.Mutex
	fed  int64
	left int64  // until it breaks; negative: it does not
	cut  func() // is called then; nil: the line breaks for this command alone
}

var errBroke = errors.New("the line broke")

func newLine(t *testing.T) *line {
	t.Helper()
	here := host.NewHere(t.TempDir())
	t.Cleanup(func() {
		if err := here.Close(); err != nil {
			t.Error(err)
		}
	})
	return &line{faraway: faraway{here}, left: -1}
}

func (l *line) Run(ctx context.Context, c host.Command) error {
	if l.path != "" {
		c.Env = append(c.Env, "PATH="+l.path)
	}
	end := &fedReader{line: l, from: c.Stdin}
	if c.Stdin != nil {
		c.Stdin = end
	}
	err := l.faraway.Run(ctx, c)
	l.mu.Lock()
	defer l.mu.Unlock()
	if end.broke {
		return errBroke
	}
	return err
}

// breakAfter has the line break once, when so many bytes more were fed.
func (l *line) breakAfter(n int64, cut func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.cut = n, cut
}

// bytes that were fed since this was asked last.
func (l *line) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.fed
	l.fed = 0
	return n
}

type fedReader struct {
	line  *line
	from  io.Reader
	broke bool
}

func (r *fedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p[:min(len(p), 32<<10)])
	r.line.mu.Lock()
	defer r.line.mu.Unlock()
	if r.line.left >= 0 && int64(n) > r.line.left {
		n, r.broke, r.line.left = int(r.line.left), true, -1
		if r.line.cut != nil {
			r.line.cut()
		}
		err = io.EOF
	}
	if r.line.left >= 0 {
		r.line.left -= int64(n)
	}
	r.line.fed += int64(n)
	return n, err
}

// mustInstall also sees that nothing but the program is left.
func mustInstall(t *testing.T, h host.Host, sending supervise.Sending) {
	t.Helper()
	bin, err := supervise.Install(t.Context(), h, nil, sending)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Base(bin)}, binsOf(t, h)); diff != "" {
		t.Error(diff)
	}
}

func binsOf(t *testing.T, h host.Host) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.Root(), "bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// only has these programs in a PATH of its own.
func only(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range programs {
		at, err := exec.LookPath(p)
		if err == nil {
			err = os.Symlink(at, filepath.Join(dir, p))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSend is about our program's way to a machine on which nothing of ours is.
func TestSend(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(self)
	if err != nil {
		t.Fatal(err)
	}
	whole := newLine(t)
	var told []int64
	mustInstall(t, whole, func(there, all int64) {
		if there > all || len(told) > 0 && there <= told[len(told)-1] {
			t.Errorf("%d of %d bytes after %v", there, all, told)
		}
		if told = append(told, there); all > info.Size()/2 {
			t.Errorf("%d bytes are sent of %d: they are not packed", all, info.Size())
		}
	})
	packed := whole.bytes()
	if len(told) == 0 || told[len(told)-1] != packed {
		t.Errorf("told %v of %d bytes", told, packed)
	}
	bare := []string{"sh", "wc", "dd", "rm", "cat", "chmod", "sync", "mv", "sleep"}
	const slack = 256 << 10 // what was fed and did not arrive

	for _, c := range []struct {
		name string
		line func(*testing.T, *line)
		most int64 // bytes fed
	}{
		{"a line that breaks", func(_ *testing.T, l *line) { l.breakAfter(packed/2, nil) }, packed + slack},
		{"one that breaks at once", func(_ *testing.T, l *line) { l.breakAfter(0, nil) }, packed + slack},
		{"who sends is killed", func(t *testing.T, l *line) {
			ctx, kill := context.WithCancel(t.Context())
			l.breakAfter(packed/2, kill)
			if _, err := supervise.Install(ctx, l, nil, nil); err == nil {
				t.Fatal("it was not killed")
			}
			if names := binsOf(t, l); len(names) != 1 || !strings.HasPrefix(names[0], ".part-") {
				t.Errorf("left %v", names)
			}
			l.bytes()
		}, packed/2 + slack},
		{"what was there is damaged", func(t *testing.T, l *line) {
			ctx, kill := context.WithCancel(t.Context())
			l.breakAfter(packed/2, kill)
			if _, err := supervise.Install(ctx, l, nil, nil); err == nil {
				t.Fatal("it was not killed")
			}
			part := filepath.Join(l.Root(), "bin", binsOf(t, l)[0])
			data, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(part, data, 0o600); err != nil {
				t.Fatal(err)
			}
			l.bytes()
		}, packed + packed/2 + slack},
		{"no gzip there", func(t *testing.T, l *line) { l.path = only(t, append(bare, "sha256sum")...) }, info.Size()},
		{"nothing there that tells a SHA-256", func(t *testing.T, l *line) { l.path = only(t, append(bare, "gzip")...) }, packed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t)
			c.line(t, l)
			mustInstall(t, l, nil)
			if sent := l.bytes(); sent > c.most {
				t.Errorf("%d bytes were sent, %d are enough", sent, c.most)
			}
		})
	}
	t.Run("two at once", func(t *testing.T) {
		one := newLine(t)
		other := &line{faraway: one.faraway, left: -1}
		one.breakAfter(packed/3, nil)
		other.breakAfter(packed/2, nil)
		var both sync.WaitGroup
		for _, l := range []*line{one, other} {
			both.Go(func() {
				if _, err := supervise.Install(t.Context(), l, nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		mustInstall(t, one, nil)
	})
}

// What nobody finished goes when nobody can be at it any more.
func TestPruneUnfinished(t *testing.T) {
	h := host.NewHere(t.TempDir())
	dir := filepath.Join(h.Root(), "bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		".part-0123456789abcdef": 2 * time.Hour, ".part-fedcba9876543210": time.Minute,
		".new-OLD": 2 * time.Hour, ".new-NEW": time.Minute, ".digests.json": 48 * time.Hour,
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if err := supervise.PruneBinsBefore(t.Context(), h, now.Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".digests.json", ".new-NEW", ".part-fedcba9876543210"}, binsOf(t, h)); diff != "" {
		t.Error(diff)
	}
}
