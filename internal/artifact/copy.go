package artifact

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// copiedAtOnce is how many files Copy has in its hands.
const copiedAtOnce = 16

// Copy stores all there is in a folder in another.
func Copy(ctx context.Context, to, from Folder) error {
	files, err := from.List(ctx)
	if err != nil {
		return err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(copiedAtOnce)
	for _, f := range files {
		group.Go(func() error {
			if err := copyOne(within, to, from, f); err != nil {
				return fmt.Errorf("copy %q: %w", f.Path, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return to.Settle(ctx)
}

func copyOne(ctx context.Context, to, from Folder, f File) error {
	switch {
	case f.Dir:
		return to.Mkdir(ctx, f.Path)
	case f.Link != "":
		return to.Link(ctx, f.Path, f.Link)
	}
	r, err := from.Open(ctx, f.Path)
	if err != nil {
		return err
	}
	return errors.Join(to.Put(ctx, f, r), r.Close())
}
