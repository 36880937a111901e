package supervise

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Wish leaves the wish in dir that its process should end: SIGTERM to all of
// it, SIGKILL after grace. Its supervisor looks when it gets SIGTERM, which is
// then the caller's to send (for a container: through its engine).
func Wish(dir string, grace time.Duration) error {
	return writeState(dir, stopFile, stopFile+".new", wish{Grace: max(grace, 0), At: time.Now().UTC()})
}

// errOtherNamespace is a supervisor that lives where we cannot signal it.
var errOtherNamespace = errors.New("its supervisor lives in a container: its engine must signal it")

// Stop asks the process of dir to end. What has ended, is lost or never was is
// fine.
func Stop(dir string, grace time.Duration) error {
	lives, err := held(dir)
	if err != nil || !lives {
		return err
	}
	if err := Wish(dir, grace); err != nil {
		return err
	}
	k, err := readKeeper(dir)
	if err != nil {
		return err
	}
	err = k.signal(unix.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		if lives, heldErr := held(dir); heldErr == nil && lives {
			return errOtherNamespace
		}
		return nil
	}
	return err
}

// signal reaches the supervisor and nobody who has its pid by now.
func (k keeper) signal(sig unix.Signal) error {
	p, err := os.FindProcess(k.pid) // holds on to this very process
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }() // it is not our child
	if !k.lives() {
		return os.ErrProcessDone
	}
	return p.Signal(sig)
}

const (
	// cleanPatience is how long a supervisor that is done may take to go, or
	// one that was killed to be gone.
	cleanPatience = 5 * time.Second
	// politeness is how long one that has written its end may take for the
	// rest.
	politeness = time.Second
	cleanStep  = 5 * time.Millisecond
)

// errNotCleaned is what could not be killed.
var errNotCleaned = errors.New("its supervisor does not go")

// Clean makes that nothing of the process of dir runs any more, whatever its
// state: the supervisor and all that carries its mark are killed, its control
// groups removed. The files stay.
func Clean(ctx context.Context, dir string) error {
	k, err := readKeeper(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil { // damaged: what started.json says will do
		var st started
		if readState(dir, startedFile, &st) == nil {
			k = keeper{mark: st.Mark}
		}
	}
	if StatusOf(dir).Phase == Ended {
		if gone, err := waitGone(ctx, dir, politeness); gone || err != nil {
			killLeftovers(ctx, k)
			return err
		}
	}
	lives, err := held(dir)
	if err != nil {
		return err
	}
	if lives && k.pid != 0 {
		if err := k.signal(unix.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	killLeftovers(ctx, k)
	gone, err := waitGone(ctx, dir, cleanPatience)
	if err == nil && !gone {
		err = errNotCleaned
	}
	killLeftovers(ctx, k) // what was born meanwhile
	return err
}

// waitGone waits until no supervisor holds dir.
func waitGone(ctx context.Context, dir string, patience time.Duration) (bool, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	step := time.NewTicker(cleanStep)
	defer step.Stop()
	for {
		lives, err := held(dir)
		if err != nil || !lives {
			return !lives, err
		}
		select {
		case <-step.C:
		case <-over.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// leftoverTries is how often we look again whether something is left.
const leftoverTries = 200

// killLeftovers kills what a supervisor left that is gone.
func killLeftovers(ctx context.Context, k keeper) {
	for _, g := range k.groups {
		removeGroup(g)
	}
	if k.mark == "" {
		return
	}
	step := time.NewTicker(cleanStep)
	defer step.Stop()
	for range leftoverTries {
		left := marked(k.mark)
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			killMarked(pid, k.mark)
		}
		select {
		case <-step.C:
		case <-ctx.Done():
			return
		}
	}
}
