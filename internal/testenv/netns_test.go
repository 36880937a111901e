package testenv

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// greets says whether a server answers within a moment.
func greets(s *SSHServer) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return s.answers(ctx)
}

func TestNamespaceIsALineThatCanBeCut(t *testing.T) {
	var n *Netns
	t.Run("up", func(t *testing.T) {
		n = Namespace(t)
		s := SSHD(t, SSHOptions{Net: n})
		other := SSHD(t, SSHOptions{Net: Namespace(t)})
		for _, c := range []struct {
			name string
			cut  func()
		}{
			{"down there", n.Down},
			{"down here", n.DownHere},
			{"nothing gets there", func() { n.Drop(true, false) }},
			{"nothing comes from there", func() { n.Drop(false, true) }},
		} {
			c.cut()
			if greets(s) {
				t.Errorf("%s: it answers", c.name)
			}
			if !greets(other) {
				t.Errorf("%s: the other line is cut, too", c.name)
			}
			n.Up()
			for deadline := time.Now().Add(30 * time.Second); !greets(s); {
				if time.Now().After(deadline) {
					t.Fatalf("%s: it does not come back", c.name)
				}
			}
		}
	})
	if _, err := os.Stat(n.path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the namespace outlived its test")
	}
	if _, err := net.InterfaceByName(n.near()); err == nil {
		t.Error("the line outlived its test")
	}
}

// A connection that is open while the line is down is neither reset nor closed, and goes on after it.
func TestCutConnectionHearsNothing(t *testing.T) {
	n := Namespace(t)
	s := SSHD(t, SSHOptions{Net: n})
	dial := func() net.Conn {
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	conn := dial()
	line := make([]byte, 256)
	if _, err := conn.Read(line); err != nil {
		t.Fatal(err)
	}
	n.Down()
	if _, err := conn.Write([]byte("SSH-2.0-test\r\n")); err != nil {
		t.Errorf("a write: %v", err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Read(line); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it is cut: %v", err)
	}
	n.Up()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(line); err != nil {
		t.Errorf("after it: %v", err)
	}
	if killed := n.Reset(); killed != 1 {
		t.Errorf("%d connections were reset, not 1", killed)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := conn.Read(line); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a connection that was reset hears nothing")
			}
			return
		}
	}
}

// What a killed test left goes with the next one's beginning; what a living one has stays.
func TestNamespacesOfTheKilledAreRemoved(t *testing.T) {
	mine := Namespace(t)
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	left := func() *Netns {
		n, err := makeNetns(t.Context(), silent{t})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}()
	ledger, err := stateSubdir("netns")
	if err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(ledger, strconv.Itoa(left.index))
	if err := writeWhole(entry, []byte(strconv.Itoa(gone.Process.Pid)+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	Namespace(t) // it may get the number
	if raw, err := os.ReadFile(entry); err == nil && strings.HasPrefix(string(raw), strconv.Itoa(gone.Process.Pid)+" ") {
		t.Errorf("left behind: %s", left.path())
	}
	if _, err := os.Stat(mine.path()); err != nil {
		t.Error(err)
	}
}

// silent is a test that cleans nothing up, as one that was killed.
type silent struct{ testing.TB }

func (silent) Cleanup(func()) {}
