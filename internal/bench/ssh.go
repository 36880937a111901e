package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	sshbackend "github.com/runnerml/runner/backends/ssh"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
)

// benchSSH: a machine reached over SSH, which is this one through its own
// server: no network is between, so all that is seen is work.
func benchSSH(ctx context.Context, l *lab) (rows []row, err error) {
	s, err := newSSHServer(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, measure := range []func(context.Context, *lab, *sshServer) ([]row, error){sshFirstLine, sshOutputs} {
		some, err := measure(ctx, l, s)
		rows = append(rows, some...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// newSSHHome is a home with the machine attached as "there".
func newSSHHome(ctx context.Context, l *lab, s *sshServer) (*home, error) {
	h, err := l.newHome(ctx, 0, "")
	if err != nil {
		return nil, err
	}
	remote, err := os.MkdirTemp(l.dir, "remote-")
	if err == nil {
		err = quietly(h.command(ctx, "compute", "attach", "ssh", "there", "--address", s.user+"@"+s.address, "--identity", s.key,
			"--host-key", s.fingerprint, "--remote-dir", remote, "--allow-same-machine"))
	}
	if err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return h, nil
}

// submission is the command that runs train.py there, with the interpreter that
// the bare command is given: a login there may find a version manager's shim.
func (s *sshServer) submission(l *lab) []string {
	return []string{
		"submit", "--target", "there", "--set", "environment.python.user_managed=true",
		"--set", "environment.python.interpreter_path=" + l.python, "train.py",
	}
}

// sshFirstLine: from a submit to the script's first line, next to running it
// with ssh.
func sshFirstLine(ctx context.Context, l *lab, s *sshServer) (rows []row, err error) {
	dir, err := l.source(map[string]string{"train.py": trainScript})
	if err != nil {
		return nil, err
	}
	h, err := newSSHHome(ctx, l, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	submit := func() (timing, error) {
		cmd := h.command(ctx, s.submission(l)...)
		cmd.Dir = dir
		return stopwatch(cmd, trainFirstLine)
	}
	bare := func() (timing, error) {
		return stopwatch(s.ssh(ctx, "cd "+dir+" && "+l.python+" train.py"), trainFirstLine)
	}
	ours, theirs, err := interleave(l.count(15, 3), submit, bare)
	if err != nil {
		return nil, err
	}
	const whenUp, whenFresh = 0.5, 2.0
	rows = append(rows, newRow("warm, the agent's connection up: submit to first line (bare: ssh host python)", seconds, ratio,
		pick(ours, timing.firstSeconds), pick(theirs, timing.firstSeconds), atMost(whenUp)))
	ours, theirs, err = interleave(l.count(7, 2), func() (timing, error) {
		if err := quietly(h.command(ctx, "agent", "stop")); err != nil {
			return timing{}, err
		}
		return submit()
	}, bare)
	if err != nil {
		return rows, err
	}
	return append(rows, newRow("warm, no agent and no connection: submit to first line (bare: ssh host python)", seconds, ratio,
		pick(ours, timing.firstSeconds), pick(theirs, timing.firstSeconds), atMost(whenFresh))), nil
}

// sshOutputs: what a run left, brought home, next to rsync.
func sshOutputs(ctx context.Context, l *lab, s *sshServer) (rows []row, err error) {
	dir, err := os.MkdirTemp(l.dir, "outputs-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := snapshot.Open(filepath.Join(dir, "objects"))
	if err != nil {
		return nil, err
	}
	remote := filepath.Join(dir, "remote")
	h, err := sshhost.Open(ctx, sshhost.Config{
		Address: s.user + "@" + s.address, IdentityFiles: []string{s.key}, IdentitiesOnly: true, HostKey: s.fingerprint, ConfigFiles: []string{}, Root: remote,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	b, err := sshbackend.New(ctx, sshbackend.Options{Host: h, Installation: "bench-" + strings.ToLower(rand.Text()[:8]), Snapshots: store})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	source, err := l.source(map[string]string{})
	if err != nil {
		return nil, err
	}
	files := l.count(1000, 100)
	const fileSize = 500 << 10
	ref, err := leaveOutputs(ctx, b, store, source, fmt.Sprintf("for i in $(seq %d); do head -c %d /dev/urandom >outputs/$i; done", files, fileSize))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Release(context.WithoutCancel(ctx), ref)) }()
	home := filepath.Join(dir, "home")
	ours, theirs, err := interleave(l.count(5, 1),
		func() (float64, error) {
			if err := os.RemoveAll(home); err != nil {
				return 0, err
			}
			began := time.Now()
			err := b.Collect(ctx, ref, artifact.OpenDirectory(home))
			return time.Since(began).Seconds(), err
		},
		func() (float64, error) {
			if err := os.RemoveAll(home); err != nil {
				return 0, err
			}
			took, err := wallTime(s.rsync(ctx, "there:"+filepath.Join(remote, "runs", ref.Run, "attempts/1/work/outputs")+"/", home+"/"))
			return took.Seconds(), err
		})
	if err != nil {
		return nil, err
	}
	return []row{newRow(fmt.Sprintf("%d outputs, %d MB, home (bare: rsync -az)", files, files*fileSize>>20), seconds, ratio, ours, theirs, atMost(1))}, nil
}

// leaveOutputs runs a command to its end.
func leaveOutputs(ctx context.Context, b *sshbackend.Backend, store *snapshot.Store, source, command string) (backends.Ref, error) {
	taken, err := store.Take(ctx, source, snapshot.Options{})
	if err != nil {
		return backends.Ref{}, err
	}
	a := backends.Attempt{
		Run: "bench-outputs", Number: 1, Snapshot: string(taken.ID),
		Config: &runconfig.ScriptRunConfig{Command: command, Resources: runconfig.Resources{Nodes: 1, CPUs: 1}},
	}
	if err := b.Prepare(ctx, a, nil); err != nil {
		return a.Ref(), err
	}
	if _, err := b.Start(ctx, a); err != nil {
		return a.Ref(), err
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		seen, err := b.Observe(ctx, []backends.Ref{a.Ref()})
		if err != nil || seen[0].Phase == backends.Ended {
			return a.Ref(), err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return a.Ref(), context.Cause(ctx)
		}
	}
}
