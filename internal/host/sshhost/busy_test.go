package sshhost_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

// knock begins a login that nobody goes on with, and waits until the server has
// taken it.
func knock(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return c
}

// oneLogin is a server that takes one login at a time.
func oneLogin(t *testing.T) *testenv.SSHServer {
	t.Helper()
	return testenv.SSHD(t, testenv.SSHOptions{Config: []string{"MaxStartups 1:100:1"}})
}

// A login waits until those of others are over.
func TestBusyForAWhile(t *testing.T) {
	s := oneLogin(t)
	a := s.User(testenv.SSHUser{})
	eventually(t, "a login to be taken", func() bool { // the one that saw the server start may still count
		h, err := sshhost.Open(t.Context(), config(s, a))
		return err == nil && h.Close() == nil
	})
	other := knock(t, s.Address)
	type opened struct {
		h   *sshhost.Host
		err error
	}
	done := make(chan opened, 1)
	go func() {
		cfg := config(s, a)
		cfg.BusyPatience = patience
		h, err := sshhost.Open(t.Context(), cfg)
		done <- opened{h, err}
	}()
	eventually(t, "it to be turned away", func() bool { return strings.Contains(s.Log(), "drop connection") })
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	if err := o.h.Close(); err != nil {
		t.Error(err)
	}
}

// It is given up in the end, and the limit is named.
func TestBusy(t *testing.T) {
	s := oneLogin(t)
	full := s.User(testenv.SSHUser{})
	knock(t, s.Address)
	for _, c := range []struct {
		name    string
		address func(*testing.T) string
		says    bool
		want    string
	}{
		{"a server", func(*testing.T) string { return full.Name + "@" + s.Address }, false, "MaxStartups of its sshd_config"},
		{"its word arrives", func(t *testing.T) string { return "x@" + saying(t, "Exceeded MaxStartups\r\n") }, true, "by MaxStartups of its sshd_config (tried for "},
		{"it says nothing", func(t *testing.T) string { return "x@" + saying(t, "") }, false, "ends each connection before it says anything (tried for "},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s, full)
			cfg.Address, cfg.BusyPatience = c.address(t), 2*time.Second
			h, err := sshhost.Open(t.Context(), cfg)
			if err == nil {
				t.Fatal("no error", h.Close())
			}
			t.Log(err)
			busy, ok := errors.AsType[*sshhost.BusyError](err)
			if !ok || !errors.Is(err, sshhost.ErrUnreachable) {
				t.Fatalf("it is a %T", err)
			}
			if c.says && !busy.Says || busy.Tried == 0 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says its limit: %v, was tried for %s", busy.Says, busy.Tried)
			}
		})
	}
}

// saying says something to each who comes, and ends.
func saying(t *testing.T, what string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-over
	})
	go func() {
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, what)
			_, _ = c.Read(make([]byte, 256)) // else what was said is lost with the reset
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// A shell that says nothing is given up, with the reason.
func TestMuteShell(t *testing.T) {
	s := testenv.SSHD(t, testenv.SSHOptions{})
	cfg := config(s, s.User(testenv.SSHUser{Files: map[string]string{".bashrc": "sleep 300\n"}}))
	cfg.GreetTimeout = 2 * time.Second
	h, err := sshhost.Open(t.Context(), cfg)
	if err == nil {
		t.Fatal("no error", h.Close())
	}
	t.Log(err)
	if mute, ok := errors.AsType[*sshhost.MuteError](err); !ok || mute.After != cfg.GreetTimeout || !errors.Is(err, sshhost.ErrUnreachable) {
		t.Errorf("it is a %T", err)
	}
}
