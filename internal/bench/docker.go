package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/runnerml/runner/internal/testenv"
)

// benchDocker: the same script in a container of an image that is there.
func benchDocker(ctx context.Context, l *lab) (rows []row, err error) {
	engine, err := testenv.StartDocker(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.sweep(ctx, engine)) }()
	dir, err := l.source(map[string]string{
		"train.py": trainScript,
		"job.yaml": fmt.Sprintf("script: train.py\nenvironment: {docker: {image: %q}}\n", engine.Base),
	})
	if err != nil {
		return nil, err
	}
	h, err := l.newHome(ctx, 0, dockerSettings(engine))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()

	const maxRatio = 1.25
	ours, bare, err := interleave(l.count(11, 2),
		func() (timing, error) {
			cmd := h.command(ctx, "submit", "job.yaml")
			cmd.Dir = dir
			return stopwatch(cmd, trainFirstLine)
		},
		func() (timing, error) {
			return stopwatch(engine.Command(ctx, "run", "--rm", "--label", l.label(), "-v", dir+":/src", "-w", "/src",
				engine.Base, "python3", "train.py"), trainFirstLine)
		})
	if err != nil {
		return nil, err
	}
	return []row{
		newRow("warm image: submit to first line", seconds, ratio,
			pick(ours, timing.firstSeconds), pick(bare, timing.firstSeconds), atMost(maxRatio)),
		newRow("warm image: submit to end", seconds, ratio,
			pick(ours, timing.endSeconds), pick(bare, timing.endSeconds), atMost(maxRatio)),
	}, nil
}

func dockerSettings(engine testenv.Engine) string {
	return fmt.Sprintf("docker_socket: %q\n", strings.TrimPrefix(engine.Host, "unix://"))
}

// label is on every container that the benches themselves make.
func (l *lab) label() string { return "runner-bench=" + l.dir }

// sweep removes containers that an interrupted docker command left behind.
func (l *lab) sweep(ctx context.Context, engine testenv.Engine) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	left, err := answer(engine.Command(ctx, "ps", "--all", "--quiet", "--filter", "label="+l.label()))
	if err != nil || left == "" {
		return err
	}
	return quietly(engine.Command(ctx, append([]string{"rm", "--force", "--volumes"}, strings.Fields(left)...)...))
}
