package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// trainScript writes one line as soon as it can and then "trains" no longer
// than it takes to write a few more.
const (
	trainScript = `import json
import os
import sys

print("epoch 0", flush=True)
os.makedirs("outputs", exist_ok=True)
with open("outputs/metrics.json", "w") as f:
    json.dump({"python": sys.version, "loss": 0.25}, f)
for epoch in range(1, 4):
    print("epoch", epoch)
`
	trainFirstLine = "epoch 0"
)

// benchProcess: what it costs to run a script as a process through Runner, with
// the agent up and the environment made.
func benchProcess(ctx context.Context, l *lab) (rows []row, err error) {
	dir, err := l.source(map[string]string{
		"train.py":  trainScript,
		"venv.yaml": "script: train.py\nenvironment: {python: {pip: [tqdm]}}\n",
	})
	if err != nil {
		return nil, err
	}
	h, err := l.newHome(ctx, 0, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()

	rows, err = compareProcess(ctx, h, dir, "existing python3", "train.py", func() (string, error) { return l.python, nil })
	if err != nil {
		return rows, err
	}
	// The environment is made in the submission that warms up, before the bare
	// command asks where its interpreter is.
	venv, err := compareProcess(ctx, h, dir, "warm venv", "venv.yaml", func() (string, error) {
		found, err := filepath.Glob(filepath.Join(h.dir, "environments/*/bin/python"))
		if err != nil || len(found) != 1 {
			return "", fmt.Errorf("interpreters in the home's environments: %q, %w", found, err)
		}
		return found[0], nil
	})
	return append(rows, venv...), err
}

func compareProcess(ctx context.Context, h *home, dir, name, spec string, python func() (string, error)) ([]row, error) {
	const maxOverhead = 0.100 // seconds
	ours, bare, err := interleave(h.count(15, 3),
		func() (timing, error) {
			cmd := h.command(ctx, "submit", spec)
			cmd.Dir = dir
			return stopwatch(cmd, trainFirstLine)
		},
		func() (timing, error) {
			interpreter, err := python()
			if err != nil {
				return timing{}, err
			}
			cmd := exec.CommandContext(ctx, interpreter, "train.py")
			cmd.Dir, cmd.Env = dir, h.environ
			return stopwatch(cmd, trainFirstLine)
		})
	if err != nil {
		return nil, err
	}
	return []row{
		newRow(name+": submit to first line", seconds, difference,
			pick(ours, timing.firstSeconds), pick(bare, timing.firstSeconds), atMost(maxOverhead)),
		newRow(name+": submit to end", seconds, difference,
			pick(ours, timing.endSeconds), pick(bare, timing.endSeconds), nil),
	}, nil
}
