package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// commandLine is the argument list of a running process; empty for one that is gone or a zombie.
func commandLine(pid int) []string {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(raw) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
}

// startTicks is when a process began, in clock ticks since boot: with the process id it names a process for
// good. It is empty for a process that is gone.
func startTicks(pid int) string {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	// The second field, the name in parentheses, may itself hold spaces and parentheses.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	const afterName = 19 // field 22 of proc(5), counted from the third
	if len(fields) <= afterName || string(fields[0]) == "Z" {
		return ""
	}
	return string(fields[afterName])
}

// running are the processes of the named programs that have path, or something below it, in their argument
// list. With a path of this package's own directory those are the engines started here and their children.
func running(path string, programs ...string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		args := commandLine(pid)
		if len(args) == 0 || !slices.Contains(programs, filepath.Base(args[0])) {
			continue
		}
		if slices.ContainsFunc(args[1:], func(arg string) bool {
			_, value, hasValue := strings.Cut(arg, "=")
			return isBelow(arg, path) || hasValue && isBelow(value, path)
		}) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isBelow(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}

// end stops a process: SIGTERM, and SIGKILL when it is still there after grace. The process is known by its id
// and its start, so an id that was given to another process in between is left alone.
func end(ctx context.Context, pid int, grace time.Duration) error {
	started := startTicks(pid)
	if started == "" {
		return nil
	}
	graceCtx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); errors.Is(err, syscall.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		waitCtx := graceCtx
		if sig == syscall.SIGKILL {
			waitCtx = ctx
		}
		for startTicks(pid) == started && waitCtx.Err() == nil {
			_ = pause(waitCtx)
		}
		if startTicks(pid) != started {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // no zombie, when it is this process's own child
			return nil
		}
	}
	return fmt.Errorf("process %d does not end: %w", pid, ctx.Err())
}

// errEnded is a daemon that gave up before it was ready.
var errEnded = errors.New("ended while starting")

// daemon starts a process that outlives this one, in its own session, writing to logPath. It returns as soon as
// ready says yes; when the process ends before that, or ctx does, the error carries the end of the log.
func daemon(ctx context.Context, cmd *exec.Cmd, logPath string, ready func(context.Context) bool) (pid int, err error) {
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = logFile.Close() }()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid
	for !ready(ctx) {
		// Asked directly rather than by cmd.Wait, whose goroutine would live as long as the daemon.
		if ended, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); ended == pid {
			return 0, fmt.Errorf("%s %w:\n%s", filepath.Base(cmd.Path), errEnded, tail(logPath))
		}
		if waitErr := pause(ctx); waitErr != nil {
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return 0, errors.Join(
				fmt.Errorf("%s is not ready: %w:\n%s", filepath.Base(cmd.Path), waitErr, tail(logPath)),
				end(stopCtx, pid, 5*time.Second))
		}
	}
	return pid, cmd.Process.Release()
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// output runs a command and returns what it wrote to stdout; a failure's error carries what it wrote to stderr.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
