package blob

import (
	"context"
	"errors"
	"time"

	"github.com/runnerml/runner/internal/flock"
	"github.com/runnerml/runner/internal/partfile"
)

// IsPartial says whether a file's name is one that a transfer on its way has.
func IsPartial(name string) bool { return partfile.Is(name) }

// arrival is a file on its way, which its process has alone: a second one waits,
// and then finds the file.
type arrival struct {
	*partfile.File
	held *flock.Held
}

// arrive opens the file of a download. nil: another process has brought it
// meanwhile, and it is in its place.
func (c *Container) arrive(ctx context.Context, d Download, unit int64) (*arrival, error) {
	held, err := lockPart(ctx, partfile.Path(d.To), func() {
		if c.report.Wait != nil {
			c.report.Wait(Wait{Reason: "another process fetches this: " + d.To, Since: time.Now()})
		}
	})
	if err != nil {
		return nil, err
	}
	same, err := isSame(d.To, d.Blob)
	if err != nil || same {
		if same {
			err = fileError(partfile.Remove(d.To), d.To)
		}
		held.Release()
		return nil, err
	}
	f, err := partfile.Open(d.To, partfile.Content{ID: d.Blob.ETag, Size: d.Blob.Size, Unit: unit})
	if err != nil {
		held.Release()
		return nil, fileError(err, d.To)
	}
	a := &arrival{File: f, held: held}
	if f.Moved() {
		err := fileError(partfile.Remove(d.To), d.To)
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *arrival) close() error {
	err := a.Close()
	a.held.Release()
	return err
}

// lockPart takes the lock of a part, which is the part itself, and tells when it
// has to wait for it.
func lockPart(ctx context.Context, path string, waiting func()) (*flock.Held, error) {
	held, err := flock.TryFile(path)
	if err == nil && held == nil {
		waiting()
		held, err = flock.File(ctx, path)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return held, fileError(err, path)
}
