package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// storeLock is the lock between processes (and goroutines: every call opens
// the file anew). What adds or reads shares it; what removes has it alone. The
// kernel lets go of it when a process dies.
type storeLock struct{ f *os.File }

// acquire waits for the lock until ctx is done; how is unix.LOCK_SH or
// unix.LOCK_EX. Everybody passes a gate on the way. Who wants the lock alone
// keeps the gate shut while waiting, so that an unbroken row of sharers cannot
// keep them out; but not for long at a time, because one of those inside may be
// receiving from a slow line, and others should not have to wait for that.
func acquire(ctx context.Context, dirs layout, how int) (*storeLock, error) {
	const shut = time.Second
	for {
		gate, err := flock(ctx, dirs.gate(), how, 0)
		if err != nil {
			return nil, err
		}
		limit := time.Duration(0)
		if how == unix.LOCK_EX {
			limit = shut
		}
		lock, err := flock(ctx, dirs.lock(), how, limit)
		gate.release()
		if lock != nil || err != nil {
			return lock, err
		}
		if err := pause(ctx, shut); err != nil {
			return nil, fmt.Errorf("lock snapshot store: %w", err)
		}
	}
}

// tryLock takes the lock alone, or gives nil when somebody has it.
func tryLock(dirs layout) (*storeLock, error) {
	f, err := openLock(dirs.lock())
	if err != nil {
		return nil, err
	}
	ok, err := tryFlock(f, unix.LOCK_EX)
	if err != nil || !ok {
		return nil, errors.Join(err, f.Close())
	}
	return &storeLock{f}, nil
}

func (l *storeLock) release() { _ = l.f.Close() } // closing unlocks; nothing was written

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock snapshot store: %w", err)
	}
	return f, nil
}

// flock waits for one of the two files, until ctx is done or, when there is a
// limit, so long; then it gives nil.
func flock(ctx context.Context, path string, how int, limit time.Duration) (*storeLock, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	const shortest, longest = 500 * time.Microsecond, 10 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, longest) {
		ok, err := tryFlock(f, how)
		if ok {
			return &storeLock{f}, nil
		}
		if err == nil && limit > 0 && time.Since(begun) > limit {
			return nil, f.Close()
		}
		if err == nil {
			if err = pause(ctx, wait); err != nil {
				err = fmt.Errorf("lock snapshot store: %w", err)
			}
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
}

func tryFlock(f *os.File, how int) (bool, error) {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock snapshot store: %w", err)
	}
	return true, nil
}
