package main

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// benchCLI: what a command costs by itself, next to a process that does
// nothing. For reference.
func benchCLI(ctx context.Context, l *lab) (rows []row, err error) {
	h, err := l.newHome(ctx, 0, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	s, err := h.submissions(ctx, "command: \"true\"\n")
	if err != nil {
		return nil, err
	}
	if _, err := s.finish(ctx, 10); err != nil {
		return nil, err
	}
	for _, command := range []string{"version", "ps"} {
		ours, bare, err := interleave(l.count(21, 3),
			func() (time.Duration, error) { return wallTime(h.command(ctx, command)) },
			func() (time.Duration, error) { return wallTime(exec.CommandContext(ctx, "true")) })
		if err != nil {
			return rows, err
		}
		rows = append(rows, newRow("runner "+command+" (bare: true)", seconds, difference,
			pick(ours, time.Duration.Seconds), pick(bare, time.Duration.Seconds), nil))
	}
	return rows, nil
}
