package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// owned starts a process that belongs to one test and ends with it. It is written down in the state directory with
// its owner, so that when the test process itself is killed, the next one (or Stop) ends what it left.
func owned(t testing.TB, cmd *exec.Cmd, logPath string, ready func(context.Context) bool) error {
	t.Helper()
	ledger, err := stateSubdir("owned")
	if err != nil {
		return err
	}
	if err := endOrphans(t.Context(), ledger, false); err != nil {
		return err
	}
	readyCtx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	pid, err := daemon(readyCtx, cmd, logPath, ready)
	if err != nil {
		return err
	}
	entry := filepath.Join(ledger, fmt.Sprint(pid))
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		if err := end(ctx, pid, 5*time.Second); err != nil {
			t.Errorf("testenv: %v", err)
			return // the entry stays for the next one to try
		}
		_ = os.Remove(entry)
	})
	owner := os.Getpid()
	line := fmt.Sprintf("%d %s %d %s\n", pid, startTicks(pid), owner, startTicks(owner))
	return writeWhole(entry, []byte(line), 0o600)
}

// endOrphans ends the processes in the ledger whose owner is gone, or all of them.
func endOrphans(ctx context.Context, ledger string, all bool) error {
	entries, err := os.ReadDir(ledger)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".part") {
			continue
		}
		path := filepath.Join(ledger, entry.Name())
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) { // its owner has just ended it
			continue
		}
		var pid, owner int
		var started, ownerStarted string
		if _, scanErr := fmt.Sscan(string(raw), &pid, &started, &owner, &ownerStarted); err != nil || scanErr != nil {
			problems = append(problems, fmt.Errorf("unreadable %s: %w", path, errors.Join(err, scanErr)))
			continue
		}
		if !all && startTicks(owner) == ownerStarted {
			continue
		}
		if startTicks(pid) == started {
			problems = append(problems, end(ctx, pid, 5*time.Second))
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
