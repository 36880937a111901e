package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Home is the Store in the directory "runs" of a RUNNER_HOME: each run has its
// directory there, with "checkpoint" and "attempts/N" in it. For a run on this
// computer these are where it works, so nothing has to be moved far.
type Home struct {
	runs string
}

var _ Store = (*Home)(nil)

// OpenHome is the store in the directory runs, which need not be there yet.
func OpenHome(runs string) *Home { return &Home{runs: runs} }

// Attempt is the folder of one attempt.
func (h *Home) Attempt(run string, number int) Folder {
	return OpenDirectory(filepath.Join(h.runs, run, "attempts", strconv.Itoa(number)))
}

// Checkpoint is the folder that has a run's checkpoint directory.
func (h *Home) Checkpoint(run string) Folder {
	return OpenCheckpoint(filepath.Join(h.runs, run))
}

// Check has nothing to say: what is wrong with a directory is told by its use.
func (h *Home) Check(context.Context) error { return nil }

// Runs names the directories.
func (h *Home) Runs(context.Context) ([]string, error) {
	entries, err := os.ReadDir(h.runs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list what runs left: %w", err)
	}
	var runs []string
	for _, e := range entries {
		if e.IsDir() {
			runs = append(runs, e.Name())
		}
	}
	return runs, nil
}

// Size is that of all files in a run's directory.
func (h *Home) Size(ctx context.Context, run string) (int64, error) {
	var total int64
	err := filepath.WalkDir(filepath.Join(h.runs, run), func(_ string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("size of what run %s left: %w", run, err)
	}
	return total, nil
}

// Delete removes a run's directory.
func (h *Home) Delete(_ context.Context, run string) error {
	if !filepath.IsLocal(run) || filepath.Base(run) != run {
		return &NameError{Name: run}
	}
	if err := os.RemoveAll(filepath.Join(h.runs, run)); err != nil {
		return fmt.Errorf("remove what run %s left: %w", run, err)
	}
	return nil
}
