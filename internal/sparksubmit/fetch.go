package sparksubmit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fetchedName is where what a driver left is put until it is whole.
const fetchedName = "fetched"

// fetch brings outputs/ and logs/ from the cluster's file system into the working
// directory, and notes that they are there; some: there were any. Cut anywhere it
// can be repeated: what is in the cluster stays until the attempt is cleared
// away, and what is here is replaced by what is whole.
func (l *launcher) fetch(ctx context.Context) (some bool, err error) {
	if l.report.now().Home {
		return false, nil
	}
	half := l.file(fetchedName)
	if err := os.RemoveAll(half); err != nil {
		return false, err
	}
	some, err = l.copyStaging(ctx)
	if err != nil {
		return false, err
	}
	for _, name := range []string{"outputs", "logs"} {
		if err := replace(filepath.Join(half, name), filepath.Join(l.plan.Work, name)); err != nil {
			return false, err
		}
	}
	if err := os.RemoveAll(half); err != nil {
		return false, err
	}
	return some, l.report.change(func(r *Report) { r.Home = true })
}

// copyStaging copies what the driver left; false: it left nothing.
func (l *launcher) copyStaging(ctx context.Context) (bool, error) {
	out, err := l.programs.fileSystem(ctx, l.dir, "-copyToLocal", l.plan.staging(), fetchedName)
	switch {
	case err == nil:
		return true, nil
	case notThere(out, l.plan.staging()):
		return false, nil
	}
	return false, fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
}

// replace puts a directory in another's place; one that is not there replaces
// nothing.
func replace(from, to string) error {
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// removeStaging removes what the driver left in the cluster.
func (l *launcher) removeStaging(ctx context.Context) error {
	out, err := l.programs.fileSystem(ctx, "/", "-rm", "-r", "-f", "-skipTrash", l.plan.staging())
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
