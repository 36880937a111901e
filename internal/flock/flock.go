package flock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How a lock is held.
type How int

// Shared lets other sharers in; Exclusive nobody.
const (
	Shared    How = unix.LOCK_SH
	Exclusive How = unix.LOCK_EX
)

// step is how often a lock that somebody has is tried again.
const step = 20 * time.Millisecond

// Held is a lock that we have. Release it.
type Held struct{ f *os.File }

// Release gives the lock back.
func (h *Held) Release() { _ = h.f.Close() } // closing unlocks

// Remove takes a lock's file away and gives the lock back. Whoever waits for it
// makes another.
func (h *Held) Remove() error {
	return errors.Join(os.Remove(h.f.Name()), h.f.Close())
}

// Directory waits until it has a directory, as far as others ask for it too.
func Directory(ctx context.Context, dir string, how How) (*Held, error) {
	return wait(ctx, func() (*os.File, error) { return os.Open(dir) }, how)
}

// File waits until it has a lock's file alone, and makes it when it is not there.
func File(ctx context.Context, path string) (*Held, error) {
	return wait(ctx, func() (*os.File, error) { return open(path) }, Exclusive)
}

// TryFile is File for who does not wait: nil means that somebody has it.
func TryFile(path string) (*Held, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if ok, err := try(f, Exclusive); !ok {
		return nil, errors.Join(err, f.Close())
	}
	return &Held{f}, nil
}

func open(path string) (*os.File, error) {
	const private = 0o600
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, private)
}

func wait(ctx context.Context, open func() (*os.File, error), how How) (*Held, error) {
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("lock: %w", context.Cause(ctx))
		}
		f, err := open() // anew each time: its holder may remove it
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		ok, err := try(f, how)
		if ok {
			return &Held{f}, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// try takes the lock unless somebody has it, or has just removed its file.
func try(f *os.File, how How) (bool, error) {
	switch err := unix.Flock(int(f.Fd()), int(how)|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(f.Name())
	return err == nil && os.SameFile(ours, there), nil
}
