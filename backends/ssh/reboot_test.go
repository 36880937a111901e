package ssh_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/ssh"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/run"
)

// rebooted is a machine that is started anew when a test says so.
type rebooted struct {
	*sshhost.Host
	boots *atomic.Int64
}

func (r rebooted) Platform(ctx context.Context) (host.Platform, error) {
	p, err := r.Host.Platform(ctx)
	p.BootID += string(rune('a' + r.boots.Load()))
	return p, err
}

// What was prepared before a reboot may be damaged: it is not started, the
// attempt is lost with the node, and a preparation begins anew.
func TestRebootAfterPrepare(t *testing.T) {
	c := newCutter(t, "cat f", map[string][]byte{"f": []byte("whole\n")})
	var boots atomic.Int64
	store, err := c.Home.Objects()
	c.ok(err)
	b, err := ssh.New(t.Context(), ssh.Options{
		Host: rebooted{c.b.host, &boots}, Installation: c.Home.Installation(), Snapshots: store,
	})
	c.ok(err)
	first := c.b
	defer func() { c.b = first; c.ok(b.Close()) }()
	c.b = &backend{Backend: b, host: c.b.host}
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	damaged := filepath.Join(c.Root.Attempt(c.a.Ref()), "work/f")
	c.ok(os.WriteFile(damaged, nil, 0o644))
	boots.Add(1)
	_, err = c.b.Start(t.Context(), c.a)
	failed, ok := errors.AsType[*backends.Failure](err)
	if !ok || failed.Outcome != run.OutcomeNodeLost || failed.Temporary {
		t.Errorf("started after the reboot: %v", err)
	}
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	if got := c.log(ref, false); got != "whole\n" {
		t.Errorf("log %q", got)
	}
	// Of what ended, or runs, its supervisor tells.
	boots.Add(1)
	if _, err := c.b.Start(t.Context(), c.a); err != nil {
		t.Errorf("started twice: %v", err)
	}
}
