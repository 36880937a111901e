package sshhost_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// password of the users that have one.
const password = "correct horse"

// config logs an account in with its key, and reads no file of this machine's
// own user.
func config(s *testenv.SSHServer, a testenv.SSHAccount) sshhost.Config {
	return sshhost.Config{
		Address: a.Name + "@" + s.Address, IdentityFiles: []string{a.Key}, IdentitiesOnly: true, AgentSocket: "none",
		KnownHosts: []string{s.KnownHosts}, ConfigFiles: []string{},
	}
}

func open(t testing.TB, c sshhost.Config) *sshhost.Host {
	t.Helper()
	h, err := sshhost.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

var roots atomic.Int64

// newRoot is a directory that no other test uses.
func newRoot() string { return fmt.Sprintf("~/.runner %d", roots.Add(1)) }

func withPassword(context.Context, sshhost.Login) (string, error) { return password, nil }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	over := time.After(patience)
	step := time.NewTicker(5 * time.Millisecond)
	defer step.Stop()
	for !ok() {
		select {
		case <-step.C:
		case <-over:
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}
