package supervise_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/supervise"
)

// TestBigBinaryLog: every byte arrives, at a good speed.
func TestBigBinaryLog(t *testing.T) {
	b := newBench(t)
	const size = 256 << 20
	source := filepath.Join(filepath.Dir(b.dir), "source")
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*7 + i>>8)
	}
	f, err := os.Create(source)
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.New()
	for range size >> 20 {
		if _, err := io.MultiWriter(f, want).Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.start(b.launch("cat", source))
	if s := b.wait(); s.ExitCode != 0 || s.LogBytes != size || s.LogDropped != 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("%.0f MB/s", size/1e6/time.Since(began).Seconds())
	r, err := b.OpenLog(t.Context(), b.dir, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	got := sha256.New()
	if _, err := io.Copy(got, r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		t.Error("the log is not what was written")
	}
}

func TestLogCap(t *testing.T) {
	for _, c := range []struct {
		name, script string
		max          int64
		want         string
		dropped      int64
	}{
		{"not reached", "printf 0123456789", 10, "0123456789", 0},
		{"over by less than the tail", "printf 0123456789abc", 10, "0123456789abc", 0},
		{
			"over by more than the tail", "printf 0123456789; head -c 100000 /dev/zero | tr '\\0' x; printf end", 10,
			"0123456789\n[runner] log reached 10 bytes: 34467 bytes dropped, the last 64 KiB follow\n" + strings.Repeat("x", 64<<10-3) + "end", 34467,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			l := b.sh(c.script)
			l.MaxLog = c.max
			b.start(l)
			if s := b.wait(); s.LogDropped != c.dropped || s.ExitCode != 0 {
				t.Errorf("%+v", s)
			}
			if diff := cmp.Diff(c.want, b.log()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	for _, far := range []bool{false, true} {
		t.Run(fmt.Sprintf("far %v", far), func(t *testing.T) {
			b := newBench(t)
			k := b.Keeper
			if far {
				k = b.remote()
			}
			if err := os.MkdirAll(b.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			early, err := k.OpenLog(ctx, b.dir, 0, true) // before it starts
			if err != nil {
				t.Fatal(err)
			}
			b.start(b.sh("i=0; while test $i -lt 200; do echo line $i; i=$((i+1)); done; sleep 0.2; echo last"))
			var want strings.Builder
			for i := range 200 {
				fmt.Fprintf(&want, "line %d\n", i)
			}
			want.WriteString("last\n")
			if diff := cmp.Diff(want.String(), readAll(t, early, nil)); diff != "" {
				t.Error(diff)
			}
			late, err := k.OpenLog(ctx, b.dir, int64(want.Len()-5), true)
			if got := readAll(t, late, err); got != "last\n" {
				t.Errorf("from an offset: %q", got)
			}
			beyond, err := k.OpenLog(ctx, b.dir, 1<<30, true)
			if got := readAll(t, beyond, err); got != "" {
				t.Errorf("from beyond the end: %q", got)
			}
			plain, err := k.OpenLog(ctx, b.dir, 5, false)
			if got := readAll(t, plain, err); got != want.String()[5:] {
				t.Errorf("without following: %q", got)
			}
		})
		t.Run(fmt.Sprintf("cut off, far %v", far), func(t *testing.T) {
			b := newBench(t)
			k := b.Keeper
			if far {
				k = b.remote()
			}
			b.start(b.sh("echo on; exec sleep 1000"))
			ctx, cancel := context.WithCancel(t.Context())
			r, err := k.OpenLog(ctx, b.dir, 0, true)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			if n, err := r.Read(buf); err != nil || string(buf[:n]) != "on\n" {
				t.Errorf("%q %v", buf[:n], err)
			}
			cancel()
			if _, err := r.Read(buf); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("of a lost one ends", func(t *testing.T) {
		b := newBench(t)
		b.start(b.sh("echo on; exec sleep 1000"))
		b.said("on")
		r, err := b.OpenLog(t.Context(), b.dir, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(b.supervisor(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, r, nil); got != "on\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("a reader that went away is noticed", func(t *testing.T) {
		b := newBench(t)
		b.start(b.sh("exec sleep 1000"))
		bin, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "supervise", "log", "--follow", b.dir)
		out, err := cmd.StdoutPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("it follows for nobody")
			_ = cmd.Process.Kill()
			<-ended
		}
	})
}

func TestOffsetSince(t *testing.T) {
	b := newBench(t)
	b.start(b.sh("echo one; while ! test -e two; do sleep 0.01; done; echo two; while ! test -e three; do sleep 0.01; done; echo three"))
	b.said("one")
	next := func(name string) time.Time {
		t.Helper()
		eventually(t, "time to pass", func() bool {
			info, err := os.Stat(filepath.Join(b.dir, supervise.LogFile))
			return err == nil && time.Since(info.ModTime()) > 150*time.Millisecond
		})
		at := time.Now()
		if err := os.WriteFile(filepath.Join(filepath.Dir(b.dir), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		b.said(name)
		return at
	}
	two := next("two")
	three := next("three")
	s := b.wait()
	for _, k := range []*supervise.Keeper{b.Keeper, b.remote()} {
		for _, c := range []struct {
			at   time.Time
			want int64
		}{{s.StartedAt.Add(-time.Hour), 0}, {two, 4}, {three, 8}, {time.Now().Add(time.Hour), 14}} {
			got, err := k.OffsetSince(t.Context(), b.dir, c.at)
			if err != nil || got != c.want {
				t.Errorf("since %s: %d, want %d, %v", c.at, got, c.want, err)
			}
		}
	}
}

func TestRedact(t *testing.T) {
	for _, c := range []struct {
		name, script string
		secrets      []string
		want         string
	}{
		{"whole", "echo a s3cret b s3crets3cret", []string{"s3cret"}, "a *** b ******\n"},
		{"in two writes", "printf 'a s3c'; printf 'ret b'", []string{"s3cret"}, "a *** b"},
		{"at the end only begun", "printf 'a s3c'", []string{"s3cret"}, "a s3c"},
		{"one in another", "echo tokentoken2 token", []string{"token", "token2"}, "****** ***\n"},
		{"a newline at its end is not part of it", "printf 'a s3cret b'", []string{"s3cret\n"}, "a *** b"},
		{"empty ones hide nothing", "echo abc", []string{"", "\n"}, "abc\n"},
		{"many lines", "printf 'xx\\nyy\\nz'", []string{"xx\nyy"}, "***\nz"},
		{"in two parts, a second apart", "printf 'a s3c'; sleep 1; printf 'ret b'", []string{"s3cret"}, "a *** b"},
		{"a short one hides nothing", "echo abcabcd", []string{"abc", "d"}, "abcabcd\n"},
		{"a line of many", "echo 'key: LINE-ONE.'; echo LINE-TWO; echo end", []string{"LINE-ONE\r\n LINE-TWO\nend\n"}, "key: ***.\n***\nend\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			l := b.sh(c.script)
			l.Redact = c.secrets
			b.start(l)
			b.wait()
			if diff := cmp.Diff(c.want, b.log()); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("what may be one is not held for long", func(t *testing.T) {
		b := newBench(t)
		l := b.sh("printf 'question? s3c'; exec sleep 1000")
		l.Redact = []string{"s3cret"}
		b.start(l)
		b.said("question? s3c")
	})
}

// TestHundredAtOnce: as many as one machine may have.
func TestHundredAtOnce(t *testing.T) {
	b := newBench(t)
	began := time.Now()
	dirs := make([]string, 100)
	for i := range dirs {
		dirs[i] = filepath.Join(filepath.Dir(b.dir), "many", strconv.Itoa(i))
		l := b.sh("echo " + strconv.Itoa(i) + "; exit " + strconv.Itoa(i))
		l.Mark += strconv.Itoa(i)
		if _, err := b.Start(t.Context(), dirs[i], l); err != nil {
			t.Fatal(err)
		}
	}
	var all []supervise.Status
	eventually(t, "all to end", func() bool {
		all = supervise.StatusAll(dirs)
		for _, s := range all {
			if s.Phase != supervise.Ended {
				return false
			}
		}
		return true
	})
	t.Logf("100 in %s", time.Since(began))
	for i, s := range all {
		if s.ExitCode != i || s.Cause != supervise.Exited {
			t.Errorf("%d: %+v", i, s)
		}
	}
	far, err := b.remote().Status(t.Context(), dirs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, far); diff != "" {
		t.Error(diff)
	}
	for _, dir := range dirs {
		if err := b.Clean(t.Context(), dir); err != nil {
			t.Error(err)
		}
	}
}
