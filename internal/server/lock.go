package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock says that one agent, and no other, serves a home.
type Lock struct{ file *os.File }

// Release lets another agent in. The kernel does the same when we die.
func (l *Lock) Release() error { return l.file.Close() }

// sign writes down who holds the lock.
func (l *Lock) sign() error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock RUNNER_HOME: %w", err), l.file.Close())
	}
	return nil
}

// held says whether somebody holds the lock, and who signed it last.
func (h Home) held() (pid int, held bool, err error) {
	file, err := os.Open(h.lockFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock: %w", err)
	}
	defer file.Close()
	err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return 0, false, nil // closing it unlocks it
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, false, fmt.Errorf("look at the lock: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0, true, fmt.Errorf("look at the lock: %w", err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, true, nil
	}
	return pid, true, nil
}

// Kill ends an agent that holds the lock but does not answer. Nothing is lost
// by it: an agent keeps nothing in memory that is not stored.
func (h Home) Kill() error {
	pid, held, err := h.held()
	if err != nil || !held || pid == 0 {
		return err
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end the agent, process %d: %w", pid, err)
	}
	return nil
}

// Holder is the process that holds the home's lock, zero when nobody does or
// it has not said who it is.
func (h Home) Holder() (pid int, err error) {
	pid, _, err = h.held()
	return pid, err
}

// AwaitEnd returns once pid no longer holds the home's lock; another agent may.
// With pid zero it is AwaitFree.
func (h Home) AwaitEnd(ctx context.Context, pid int, pause time.Duration) error {
	return h.await(ctx, pause, func(holder int, held bool) bool { return !held || pid != 0 && holder != 0 && holder != pid })
}

// AwaitFree returns once nobody holds the home's lock.
func (h Home) AwaitFree(ctx context.Context, pause time.Duration) error {
	return h.await(ctx, pause, func(_ int, held bool) bool { return !held })
}

func (h Home) await(ctx context.Context, pause time.Duration, enough func(holder int, held bool) bool) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		holder, held, err := h.held()
		if err != nil || enough(holder, held) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the agent to end: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// lockRetry is how often a lock that somebody holds is tried again.
const lockRetry = 2 * time.Millisecond

// ErrServed says that another agent serves the home already.
var ErrServed = errors.New("another agent serves this RUNNER_HOME")

// Acquire takes the home's lock. While another agent holds it without serving
// (it starts, or ends) Acquire waits; once answers reports true for it, the
// error is ErrServed.
func (h Home) Acquire(ctx context.Context, answers func(context.Context) bool) (*Lock, error) {
	file, err := os.OpenFile(h.lockFile(), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock RUNNER_HOME: %w", err)
	}
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			l := &Lock{file: file}
			return l, l.sign()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock RUNNER_HOME: %w", err), file.Close())
		}
		if answers(ctx) {
			return nil, errors.Join(ErrServed, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock RUNNER_HOME: %w", context.Cause(ctx)), file.Close())
		case <-tick.C:
		}
	}
}
