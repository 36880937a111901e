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

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock snapshot store: %w", err)
	}
	return f, nil
}

// acquire waits for the lock until ctx is done.
func acquire(ctx context.Context, path string, how int) (*storeLock, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	const shortest, longest = time.Millisecond, 50 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, longest) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return &storeLock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock snapshot store: %w", err), f.Close())
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(fmt.Errorf("lock snapshot store: %w", context.Cause(ctx)), f.Close())
		}
	}
}

// tryLock takes the lock alone, or gives nil when somebody has it.
func tryLock(path string) (*storeLock, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &storeLock{f}, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, f.Close()
	}
	return nil, errors.Join(fmt.Errorf("lock snapshot store: %w", err), f.Close())
}

func (l *storeLock) release() { _ = l.f.Close() } // closing unlocks; nothing was written
