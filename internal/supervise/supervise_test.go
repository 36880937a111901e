package supervise_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// asNobody in the environment makes the supervisor an ordinary user.
const asNobody = "RUNNER_TEST_AS_NOBODY"

// TestMain makes the test binary the supervisor, as cmd/runner does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		if os.Getenv(asNobody) != "" {
			if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
				panic(err)
			}
		}
		testenv.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// bench is a Keeper with a directory of its own.
type bench struct {
	*supervise.Keeper
	t    testing.TB
	here *host.Here
	dir  string
}

// faraway hides that a host is this computer.
type faraway struct{ host.Host }

func newBench(t testing.TB) *bench {
	t.Helper()
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	here := host.NewHere(root)
	b := &bench{Keeper: supervise.New(here, bin), t: t, here: here, dir: filepath.Join(root, "attempt")}
	t.Cleanup(func() {
		if err := b.Clean(context.Background(), b.dir); err != nil {
			t.Error("clean:", err)
		}
		if err := here.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// remote asks everything by running the program, as for another machine.
func (b *bench) remote() *supervise.Keeper {
	bin, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	return supervise.New(faraway{b.here}, bin)
}

// sh is the launch of a shell script.
func (b *bench) sh(script string) supervise.Launch { return b.launch("/bin/sh", "-c", script) }

func (b *bench) launch(argv ...string) supervise.Launch {
	return supervise.Launch{
		Mark: "test-" + filepath.Base(filepath.Dir(b.dir)) + b.t.Name() + ".1", Argv: argv, Inherit: true, Dir: filepath.Dir(b.dir),
	}
}

func (b *bench) start(l supervise.Launch) supervise.Status {
	b.t.Helper()
	s, err := b.Start(b.t.Context(), b.dir, l)
	if err != nil {
		b.t.Fatal("start:", err)
	}
	return s
}

// wait polls until the process is in none of its living phases.
func (b *bench) wait() supervise.Status {
	b.t.Helper()
	var s supervise.Status
	eventually(b.t, "its end", func() bool {
		s = supervise.StatusOf(b.dir)
		return s.Phase == supervise.Ended || s.Phase == supervise.Lost
	})
	return s
}

func (b *bench) log() string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, supervise.LogFile))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

// said waits until the log holds a text.
func (b *bench) said(text string) {
	b.t.Helper()
	eventually(b.t, "the log to say "+text, func() bool {
		data, err := os.ReadFile(filepath.Join(b.dir, supervise.LogFile))
		return err == nil && containsText(string(data), text)
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	over := time.After(patience)
	step := time.NewTicker(time.Millisecond)
	defer step.Stop()
	for !ok() {
		select {
		case <-step.C:
		case <-over:
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

func readAll(t testing.TB, r io.ReadCloser, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(data)
}
