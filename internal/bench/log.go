package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// writeScript writes a given number of bytes of log lines, as fast as it can.
const writeScript = `import random
import sys

size = int(sys.argv[1])
r = random.Random(7)
lines = []
for step in range(12000):
    lines.append("2026-03-01 12:%02d:%02d,%03d INFO trainer step=%d loss=%.6f lr=%.3e tokens/s=%d\n" % (
        step // 60 % 60, step % 60, r.randrange(1000), step, r.random(), r.random() / 1e3, r.randrange(10**6)))
block = "".join(lines).encode()
out = sys.stdout.buffer
while size > 0:
    size -= out.write(block[:size])
out.flush()
`

// benchLog: a large log through runner logs, next to docker logs of a container
// that wrote the same.
func benchLog(ctx context.Context, l *lab) (rows []row, err error) {
	size := int64(l.count(1<<30, 64<<20))
	small := size / 16
	// docker logs takes minutes for a GiB of short lines, and as long for each of
	// them however many there are: it reads a part of the same.
	part := size / 8
	dir, err := l.source(map[string]string{"write.py": writeScript})
	if err != nil {
		return nil, err
	}
	engine, err := testenv.StartDocker(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.sweep(ctx, engine)) }()
	container, err := l.writtenByContainer(ctx, engine, dir, part)
	if err != nil {
		return nil, err
	}
	h, err := l.newHome(ctx, 0, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	shortRun, _, err := h.writtenByRun(ctx, dir, small)
	if err != nil {
		return nil, err
	}
	longRun, wrote, err := h.writtenByRun(ctx, dir, size)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		isWhole(h.command(ctx, "logs", longRun), size),
		isWhole(engine.Command(ctx, "logs", container.id), part)); err != nil {
		return nil, err
	}
	least, err := h.readLog(ctx, shortRun, small)
	if err != nil {
		return nil, err
	}
	ours, bare, err := interleave(l.count(3, 1),
		func() (reading, error) { return h.readLog(ctx, longRun, size) },
		func() (reading, error) {
			took, err := wallTime(engine.Command(ctx, "logs", container.id))
			return reading{bytes: part, took: took}, err
		})
	if err != nil {
		return nil, err
	}
	const leastRatio, mostGrowth = 0.5, 16 << 20
	return []row{
		newRow(fmt.Sprintf("runner logs of %d MiB (bare: docker logs of %d)", size>>20, part>>20), bytesPerSecond, ratio,
			pick(ours, reading.rate), pick(bare, reading.rate), atLeast(leastRatio)),
		newRow(fmt.Sprintf("peak memory of runner logs (bare: of %d MiB)", small>>20), byteCount, difference,
			pick(ours, reading.commandPeak), []float64{least.command}, atMost(mostGrowth)),
		newRow(fmt.Sprintf("peak memory of the agent (bare: of %d MiB)", small>>20), byteCount, difference,
			pick(ours, reading.agentPeak), []float64{least.agent}, atMost(mostGrowth)),
		newRow("the script's writing (bare: in docker)", bytesPerSecond, ratio,
			[]float64{float64(size) / wrote.Seconds()}, []float64{float64(part) / container.wrote.Seconds()}, nil),
	}, nil
}

// reading is one reading of a log; the peaks are in bytes.
type reading struct {
	bytes          int64
	took           time.Duration
	command, agent float64
}

func (r reading) rate() float64        { return float64(r.bytes) / r.took.Seconds() }
func (r reading) commandPeak() float64 { return r.command }
func (r reading) agentPeak() float64   { return r.agent }

func (h *home) readLog(ctx context.Context, id string, size int64) (r reading, err error) {
	r.bytes = size
	if err := resetPeak(h.pid); err != nil {
		return r, err
	}
	cmd := h.command(ctx, "logs", id)
	if r.took, err = wallTime(cmd); err != nil {
		return r, err
	}
	r.command = peakOf(cmd)
	r.agent, err = memoryOf(h.pid, "VmHWM")
	return r, err
}

// writtenByRun gives a completed run whose script wrote so many bytes, and how
// long the script ran.
func (h *home) writtenByRun(ctx context.Context, dir string, size int64) (string, time.Duration, error) {
	cmd := h.command(ctx, "submit", "--detach", "write.py", "--", fmt.Sprint(size))
	cmd.Dir = dir
	id, err := answer(cmd)
	if err != nil {
		return "", 0, err
	}
	if err := h.awaitIdle(ctx); err != nil {
		return "", 0, err
	}
	found, err := h.client.List(ctx, controller.Filter{Limit: 1})
	if err != nil {
		return "", 0, err
	}
	if len(found) != 1 || found[0].ID != id || found[0].State != run.Completed {
		return "", 0, fmt.Errorf("run %s did not complete", id)
	}
	a := found[0].Last()
	if a == nil || a.StartedAt == nil || a.EndedAt == nil {
		return "", 0, fmt.Errorf("run %s has no attempt with times", id)
	}
	return id, a.EndedAt.Sub(*a.StartedAt), nil
}

// container is one that has ended and keeps its log.
type container struct {
	id    string
	wrote time.Duration
}

func (l *lab) writtenByContainer(ctx context.Context, engine testenv.Engine, dir string, size int64) (*container, error) {
	id, err := answer(engine.Command(ctx, "create", "--label", l.label(), "--log-driver", "json-file",
		"-v", dir+":/src:ro", "-w", "/src", engine.Base, "python3", "write.py", fmt.Sprint(size)))
	if err != nil {
		return nil, err
	}
	c := &container{id: id}
	if err := quietly(engine.Command(ctx, "start", c.id)); err != nil {
		return nil, err
	}
	code, err := answer(engine.Command(ctx, "wait", c.id))
	if err != nil {
		return nil, err
	}
	if code != "0" {
		return nil, fmt.Errorf("container %s ended with exit code %s", c.id, code)
	}
	times, err := answer(engine.Command(ctx, "inspect", "--format", "{{.State.StartedAt}} {{.State.FinishedAt}}", c.id))
	if err != nil {
		return nil, err
	}
	from, to, _ := strings.Cut(times, " ")
	began, err := time.Parse(time.RFC3339Nano, from)
	if err != nil {
		return nil, err
	}
	ended, err := time.Parse(time.RFC3339Nano, to)
	if err != nil {
		return nil, err
	}
	c.wrote = ended.Sub(began)
	return c, nil
}

// isWhole says whether a command writes exactly so many bytes.
func isWhole(cmd *exec.Cmd, size int64) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	if n != size {
		return fmt.Errorf("%s gave %d bytes of %d", strings.Join(cmd.Args, " "), n, size)
	}
	return nil
}
