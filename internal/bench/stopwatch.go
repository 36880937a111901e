package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// timing of one process, from just before it is started.
type timing struct {
	first time.Duration // until the first byte on standard output
	end   time.Duration // until it was waited for
}

func (t timing) firstSeconds() float64 { return t.first.Seconds() }
func (t timing) endSeconds() float64   { return t.end.Seconds() }

// stopwatch runs a command that must succeed and write firstLine first.
func stopwatch(cmd *exec.Cmd, firstLine string) (t timing, err error) {
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return t, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return t, err
	}
	buffered := bufio.NewReader(out)
	_, failed := buffered.Peek(1)
	t.first = time.Since(began)
	line, _ := buffered.ReadString('\n')
	_, _ = io.Copy(io.Discard, buffered)
	err = cmd.Wait()
	t.end = time.Since(began)
	if err == nil {
		err = failed
	}
	if err == nil && strings.TrimSpace(line) != firstLine {
		err = fmt.Errorf("its first line is %q", line)
	}
	if err != nil {
		return t, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return t, nil
}

// wallTime runs a command that must succeed, with its output to /dev/null.
func wallTime(cmd *exec.Cmd) (time.Duration, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = null, &said
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return took, nil
}

// peakOf is the most memory that an ended command used, in bytes.
func peakOf(cmd *exec.Cmd) float64 {
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return float64(usage.Maxrss) * 1024 // in KiB on Linux
}

// cpuTime is what an ended command used of the processors, in seconds.
func cpuTime(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}
