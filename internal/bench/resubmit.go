package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/runnerml/runner/internal/bench/sourcetree"
)

// benchResubmit: a large source again, with one change.
func benchResubmit(ctx context.Context, l *lab) (rows []row, err error) {
	s, err := newSSHServer(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return sshResubmit(ctx, l, s)
}

// sshResubmit: a large tree of which one file changed, next to rsync.
func sshResubmit(ctx context.Context, l *lab, s *sshServer) (rows []row, err error) {
	dir, err := os.MkdirTemp(l.dir, "resubmit-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	src, copied, files := filepath.Join(dir, "src"), filepath.Join(dir, "copy"), l.count(sourcetree.Files, sourcetree.Files/10)
	if err := sourcetree.Make(src, files); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(src, "train.py"), []byte(trainScript), 0o600); err != nil {
		return nil, err
	}
	h, err := newSSHHome(ctx, l, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	changes := 0
	change := func() error {
		changes++
		return os.WriteFile(filepath.Join(src, "changed.txt"), []byte(strconv.Itoa(changes)), 0o600)
	}
	submit := func() (timing, error) {
		if err := change(); err != nil {
			return timing{}, err
		}
		cmd := h.command(ctx, s.submission(l)...)
		cmd.Dir = src
		return stopwatch(cmd, trainFirstLine)
	}
	if _, err := submit(); err != nil { // all of it goes
		return nil, err
	}
	if err := quietly(s.rsync(ctx, src+"/", "there:"+copied+"/")); err != nil {
		return nil, err
	}
	ours, theirs, err := interleave(l.count(7, 1),
		func() (float64, error) {
			t, err := submit()
			return t.firstSeconds(), err
		},
		func() (float64, error) {
			if err := change(); err != nil {
				return 0, err
			}
			took, err := wallTime(s.rsync(ctx, src+"/", "there:"+copied+"/"))
			return took.Seconds(), err
		})
	if err != nil {
		return nil, err
	}
	const maxRatio = 0.5
	return []row{newRow(fmt.Sprintf("submit of %d files, one changed, to first line (bare: rsync -az alone)", files), seconds, ratio, ours, theirs, atMost(maxRatio))}, nil
}
