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
// unix.LOCK_EX. Whoever waits stands in the gate meanwhile, which those who
// want it alone hold alone: so an unbroken row of sharers cannot keep them out.
func acquire(ctx context.Context, dirs layout, how int) (*storeLock, error) {
	gate, err := flock(ctx, dirs.gate(), how)
	if err != nil {
		return nil, err
	}
	defer gate.release()
	return flock(ctx, dirs.lock(), how)
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

func flock(ctx context.Context, path string, how int) (*storeLock, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	const shortest, longest = 500 * time.Microsecond, 10 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, longest) {
		ok, err := tryFlock(f, how)
		if ok {
			return &storeLock{f}, nil
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
