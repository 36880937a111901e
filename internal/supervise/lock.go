package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keeper is what the lock file says of the supervisor that wrote it.
type keeper struct {
	pid int
	// start is when pid started, in the system's own unit: pids come again.
	start uint64
	mark  string
	// groups are the cgroups it made.
	groups []string
	// forking: from here on the process may have run, also when nothing else
	// says so.
	forking bool
}

// groupPrefix begins the name of every control group of ours.
const groupPrefix = "runner-"

// text of the lock file: the pid on the first line.
func (k keeper) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\nstart %d\nmark %s\n", k.pid, k.start, k.mark)
	for _, g := range k.groups {
		fmt.Fprintf(&b, "cgroup %s\n", g)
	}
	if k.forking {
		b.WriteString("forking\n")
	}
	return b.Bytes()
}

// errLockDamaged is a lock file that makes no sense.
var errLockDamaged = errors.New("the lock file is damaged")

func parseKeeper(data []byte) (keeper, error) {
	lines := strings.Split(string(data), "\n")
	pid, err := strconv.Atoi(lines[0])
	if err != nil || pid <= 0 {
		return keeper{}, errLockDamaged
	}
	k := keeper{pid: pid}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, " ")
		switch name {
		case "start":
			if k.start, err = strconv.ParseUint(value, 10, 64); err != nil {
				return keeper{}, errLockDamaged
			}
		case "mark":
			k.mark = value
		case "forking":
			k.forking = true
		case "cgroup":
			if strings.HasPrefix(filepath.Base(value), groupPrefix) { // never another's, whatever the file says
				k.groups = append(k.groups, value)
			}
		}
	}
	return k, nil
}

// readKeeper reads the lock file of a directory.
func readKeeper(dir string) (keeper, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return keeper{}, err
	}
	defer func() { _ = f.Close() }() // only read
	buf := make([]byte, maxState)
	n, err := f.ReadAt(buf, 0)
	if n == 0 && err != nil {
		return keeper{}, errLockDamaged
	}
	return parseKeeper(buf[:n])
}

// lives says whether the process that wrote the lock file is there, in our
// namespace.
func (k keeper) lives() bool {
	start, err := startTime(k.pid)
	return err == nil && k.start != 0 && start == k.start
}

// held says whether a supervisor lives in dir. Asking takes a shared lock for a
// moment, which a starting supervisor waits out.
func held(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // gives the lock back
	err = flock(f, unix.LOCK_SH|unix.LOCK_NB)
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return true, nil
	default:
		return false, fmt.Errorf("ask for the lock of %s: %w", dir, err)
	}
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

const (
	lockPause    = 2 * time.Millisecond
	lockPatience = 30 * time.Second
)

// errTaken says that another supervisor was first.
var errTaken = errors.New("another supervisor is there")

// takeLock becomes the supervisor of dir. It gives errTaken when something was
// started there before, by a supervisor that lives or, unless again, is gone.
func takeLock(ctx context.Context, dir string, again bool) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	pause := time.NewTicker(lockPause)
	defer pause.Stop()
	for {
		f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && !sameFile(f, filepath.Join(dir, lockFile)) {
			err = unix.EWOULDBLOCK // the directory was cleared meanwhile
		}
		if err == nil && !again && (wasStarted(dir) || wasForking(dir)) {
			_ = f.Close() // gives it back
			return nil, errTaken
		}
		if err == nil {
			return f, nil
		}
		_ = f.Close() // not ours
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		if wasStarted(dir) {
			return nil, errTaken
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, errTaken
		}
	}
}

func wasStarted(dir string) bool {
	for _, name := range []string{startedFile, endedFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// wasForking says that a supervisor, which is gone, died while it started its
// process.
func wasForking(dir string) bool {
	k, err := readKeeper(dir)
	return err == nil && k.forking
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}
