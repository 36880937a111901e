package sshhost_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

// cutable is a host behind a line that can be cut.
type cutable struct {
	*sshhost.Host
	server *testenv.SSHServer
	line   *testenv.Line
	user   testenv.SSHAccount
}

func newCutable(t *testing.T, o testenv.SSHOptions, edit func(*sshhost.Config)) cutable {
	t.Helper()
	server := testenv.SSHD(t, o)
	user := server.User(testenv.SSHUser{})
	line := testenv.Cut(t, server.Address)
	c := config(server, user)
	c.Address, c.HostKey, c.Root = user.Name+"@"+line.Address, server.Fingerprint, newRoot()
	if edit != nil {
		edit(&c)
	}
	return cutable{Host: open(t, c), server: server, line: line, user: user}
}

// ran is how often a command that counts its runs was run.
func (c cutable) ran(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.Root(), "ran"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

func TestCutInTheMiddleOfRun(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  func(cutable)
	}{
		{"reset", func(c cutable) { c.line.Reset() }},
		{"the server's connection is killed", func(c cutable) { c.server.EndConnections() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newCutable(t, testenv.SSHOptions{}, nil)
			ended := make(chan error, 1)
			go func() {
				ended <- h.Run(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo >>ran; sleep 0.3; echo on >after"}})
			}()
			eventually(t, "it to run", func() bool { return h.ran(t) == 1 })
			c.cut(h)
			var lost *sshhost.LostError
			if err := <-ended; !errors.As(err, &lost) || !lost.Begun || !errors.Is(err, sshhost.ErrUnreachable) {
				t.Errorf("error %v", err)
			}
			// What comes next finds its way, and the command went on, once.
			eventually(t, "it to go on", func() bool {
				_, err := h.Stat(t.Context(), path.Join(h.Root(), "after"))
				return err == nil
			})
			if n := h.ran(t); n != 1 {
				t.Errorf("it ran %d times", n)
			}
		})
	}
}

// TestOutputIsWholeOrAnError: a line that breaks at any moment never makes
// half an output look like all of it.
func TestOutputIsWholeOrAnError(t *testing.T) {
	const size = 1 << 20
	h := newCutable(t, testenv.SSHOptions{}, nil)
	cut := 0
	for after := int64(100); after < size+size/4; after = after*3/2 + 1 {
		h.line.ResetAfter(after)
		var out bytes.Buffer
		err := h.Run(t.Context(), host.Command{Argv: []string{"head", "-c", fmt.Sprint(size), "/dev/zero"}, Stdout: &out})
		switch {
		case err == nil && out.Len() != size:
			t.Errorf("cut after %d bytes: %d bytes of output and no error", after, out.Len())
		case err != nil && !errors.Is(err, sshhost.ErrUnreachable):
			t.Errorf("cut after %d bytes: %v", after, err)
		case err != nil:
			cut++
		}
		h.line.ResetAfter(-1)
		if _, err := h.Stat(t.Context(), h.Root()); err != nil { // a host that serves is not waited for
			t.Fatal(err)
		}
	}
	if cut == 0 {
		t.Error("the line was never cut")
	}
}

func TestCutInTheMiddleOfATransfer(t *testing.T) {
	for _, c := range []struct {
		name   string
		server testenv.SSHOptions
	}{
		{"SFTP", testenv.SSHOptions{}},
		{"shell", testenv.SSHOptions{NoSFTP: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newCutable(t, c.server, nil)
			data := make([]byte, 3<<20)
			_, _ = rand.Read(data)
			name := path.Join(h.Root(), "large")
			for _, after := range []int64{1 << 10, 1 << 19, 5 << 19} {
				h.line.ResetAfter(after)
				if err := h.WriteFile(t.Context(), name, data, 0o600); err != nil {
					t.Fatal(err)
				}
				f, err := h.Open(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				h.line.ResetAfter(after)
				got, err := io.ReadAll(f)
				if err := errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, data) {
					t.Errorf("cut after %d bytes: it came back otherwise", after)
				}
				if err := h.RemoveAll(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				h.line.ResetAfter(-1)
			}
			entries, err := os.ReadDir(h.Root())
			if err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func TestStallIsFound(t *testing.T) {
	h := newCutable(t, testenv.SSHOptions{}, func(c *sshhost.Config) {
		c.KeepAlive, c.DialTimeout, c.Patience = 100*time.Millisecond, 500*time.Millisecond, time.Second
	})
	ended := make(chan error, 1)
	go func() {
		ended <- h.Run(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo >>ran; sleep 1000"}})
	}()
	eventually(t, "it to run", func() bool { return h.ran(t) == 1 })
	h.line.Stall()
	if err := <-ended; !errors.Is(err, sshhost.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
	began := time.Now()
	_, err := h.Stat(t.Context(), h.Root())
	var away *sshhost.UnreachableError
	if !errors.As(err, &away) {
		t.Errorf("while it hangs: %v", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
	if since, why := h.Trouble(); since.IsZero() || why == nil {
		t.Error("nobody is told of the trouble")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Stat(ctx, h.Root()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
	h.line.Heal()
	eventually(t, "the way to be free", func() bool {
		_, err := h.Stat(t.Context(), h.Root())
		return err == nil
	})
	if _, why := h.Trouble(); why != nil {
		t.Errorf("still in trouble: %v", why)
	}
}

func TestServerIsStartedAgain(t *testing.T) {
	h := newCutable(t, testenv.SSHOptions{}, nil)
	answer, err := h.Spawn(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
	if err != nil {
		t.Fatal(err)
	}
	h.server.Stop()
	var wg sync.WaitGroup
	for i := range 20 { // all wait for the same connection
		wg.Go(func() {
			var out bytes.Buffer
			err := h.Run(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo >>ran; echo here"}, Stdout: &out})
			if err != nil || out.String() != "here\n" {
				t.Errorf("%d: %q, %v", i, &out, err)
			}
		})
	}
	h.server.Start()
	wg.Wait()
	if n := h.ran(t); n != 20 {
		t.Errorf("20 commands ran %d times", n)
	}
	if err := h.Run(t.Context(), host.Command{Argv: []string{"kill", answer}}); err != nil {
		t.Errorf("what was spawned did not outlive the server: %v", err)
	}
}

// TestKeyChangesBetweenConnections: a key that is another all of a sudden is
// refused, whoever said yes before, until a file says that it is right.
func TestKeyChangesBetweenConnections(t *testing.T) {
	for _, c := range []struct {
		name  string
		known bool // the first key is in a file; else somebody said yes to it
	}{{"from a file", true}, {"that somebody accepted", false}} {
		t.Run(c.name, func(t *testing.T) {
			known := filepath.Join(t.TempDir(), "known_hosts")
			h := newCutable(t, testenv.SSHOptions{}, func(cfg *sshhost.Config) {
				cfg.HostKey, cfg.KnownHosts = "", []string{known}
				cfg.UnknownHostKey = func(_ context.Context, e *sshhost.HostKeyError) error {
					if !c.known {
						return nil
					}
					write(t, known, e.Line+"\n", 0o600)
					return nil
				}
			})
			h.server.Stop()
			if err := h.server.MakeHostKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.server.Start()
			answer := make(chan error, 1)
			go func() { answer <- h.Run(t.Context(), host.Command{Argv: []string{"true"}}) }()
			changed := new(sshhost.HostKeyError)
			eventually(t, "the other key is refused", func() bool {
				_, err := h.Trouble()
				return errors.As(err, &changed) && changed.Changed
			})
			write(t, known, changed.Line+"\n", 0o600)
			if err := <-answer; err != nil && !errors.As(err, &changed) {
				t.Error(err)
			}
			eventually(t, "the file's key is taken", func() bool {
				return h.Run(t.Context(), host.Command{Argv: []string{"true"}}) == nil
			})
		})
	}
}

// TestManyAtOnce asks for more sessions than the server gives. There are more
// connections then, not too many, and not for what one can carry.
func TestManyAtOnce(t *testing.T) {
	for _, c := range []struct{ limit, many, connections int }{{1, 30, 6}, {4, 30, 6}, {0, 30, 6}, {0, 9, 1}} {
		t.Run(fmt.Sprintf("%d of %d", c.many, c.limit), func(t *testing.T) {
			h := newCutable(t, testenv.SSHOptions{MaxSessions: c.limit}, nil)
			var wg sync.WaitGroup
			for i := range c.many {
				wg.Go(func() {
					name := path.Join(h.Root(), fmt.Sprint(i))
					err := h.Run(t.Context(), host.Command{Argv: []string{"sleep", "0.05"}})
					if err := errors.Join(err, h.WriteFile(t.Context(), name, []byte(name), 0o600)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if entries, err := h.ReadDir(t.Context(), h.Root()); err != nil || len(entries) != c.many {
				t.Errorf("%d files, %v", len(entries), err)
			}
			if n := h.server.Logins(); n > c.connections {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestCloseEndsAll: Close does not wait for what hangs.
func TestCloseEndsAll(t *testing.T) {
	h := newCutable(t, testenv.SSHOptions{}, nil)
	ended := make(chan error, 1)
	go func() {
		ended <- h.Run(t.Context(), host.Command{Argv: []string{"sh", "-c", "echo >>ran; sleep 1000"}})
	}()
	eventually(t, "it to run", func() bool { return h.ran(t) == 1 })
	h.line.Stall()
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
	if err := h.Run(t.Context(), host.Command{Argv: []string{"true"}}); err == nil {
		t.Error("a closed host runs commands")
	}
}
