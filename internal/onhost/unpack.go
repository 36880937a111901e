package onhost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/datacache"
	"github.com/runnerml/runner/internal/flock"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// mainKeep takes what its store lacks of a snapshot, and unpacks it to where
// many read it and nobody changes it.
func (t *taking) mainKeep(ctx context.Context, args []string, in *listener, out *speaker) error {
	const count = 3
	if len(args) != count {
		return fmt.Errorf("%w: a store, a snapshot and a directory are needed", errUsage)
	}
	dst := args[2]
	if err := absolute(args[0], dst); err != nil {
		return err
	}
	// Whoever wants the same waits, and finds it there.
	filled, err := datacache.Open(filepath.Dir(dst)).Fill(ctx, filepath.Base(dst), func(ctx context.Context, part string) error {
		r, ctx, err := t.newReceiver(ctx, args[0], args[1], in, out)
		if err != nil {
			return err
		}
		defer r.end()
		return r.unpack(ctx, part)
	})
	if err != nil {
		return err
	}
	if !filled {
		if err := out.value(markHello, hello{There: true}); err != nil {
			return err
		}
	}
	return out.frame(markDone, nil)
}

// unpack takes a snapshot and writes it to part, in place of what one that was
// cut left there.
func (r *receiver) unpack(ctx context.Context, part string) error {
	m, _, err := r.manifest(ctx, nil)
	if err != nil {
		return err
	}
	if err := removeAll(ctx, part); err != nil {
		return err
	}
	renewal, err := r.store.Renew(ctx, part, nil, m)
	if err != nil {
		return err
	}
	if err := r.fetch(ctx, m, renewal); err != nil {
		return err
	}
	if _, err := renewal.Apply(ctx, r.progress); err != nil {
		return err
	}
	return closeTree(part)
}

// placeFlags are how a verb is told where a working directory is.
func placeFlags(name string) (flags *flag.FlagSet, p *workcopy.Place, shelf *string) {
	flags, p = flag.NewFlagSet(name, flag.ContinueOnError), &workcopy.Place{}
	flags.SetOutput(io.Discard)
	flags.StringVar(&p.Dir, "dir", "", "")
	flags.StringVar(&p.List, "list", "", "")
	flags.StringVar(&p.Unit, "unit", "", "")
	return flags, p, flags.String("shelf", "", "")
}

// mainFill takes what its store lacks of a snapshot, and makes a working
// directory hold it, out of one on the shelf when there is one that is like it.
func (t *taking) mainFill(ctx context.Context, args []string, in *listener, out *speaker) error {
	flags, p, dir := placeFlags("fill")
	var f attemptdir.Finishing
	flags.StringVar(&f.Work, "work", "", "")
	flags.StringVar(&f.Script, "script", "", "")
	flags.IntVar(&f.Head, "head", 0, "")
	flags.Func("make", "", func(name string) error {
		f.Make = append(f.Make, name)
		return nil
	})
	if err := flags.Parse(args); err != nil || flags.NArg() != 2 {
		return fmt.Errorf("%w: a store and a snapshot are needed", errUsage)
	}
	if err := absolute(flags.Arg(0), p.Dir, p.List, p.Unit, *dir, f.Work); err != nil {
		return err
	}
	r, ctx, err := t.newReceiver(ctx, flags.Arg(0), flags.Arg(1), in, out)
	if err != nil {
		return err
	}
	defer r.end()
	boot, err := bootID(ctx, *dir)
	if err != nil {
		return err
	}
	shelf := workcopy.Open(*dir, r.store, boot)
	offers, err := shelf.Offers()
	if err != nil {
		return err
	}
	// Whoever was cut off may still be at it.
	lock, err := lockParent(ctx, p.Dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	if found, there, err := attemptdir.Before(f); err != nil {
		return err
	} else if there {
		return errors.Join(out.value(markHello, hello{There: true}), out.value(markDone, found))
	}
	for _, name := range []string{p.Dir, p.List, p.Unit} {
		if err := removeAll(ctx, name); err != nil {
			return err
		}
	}
	ahead, err := shelf.TakeAhead(ctx, r.id, *p) // while the manifest comes
	if err != nil {
		return err
	}
	m, base, err := r.manifest(ctx, offers)
	if err != nil {
		if ahead != nil {
			err = errors.Join(err, ahead.PutBack(ctx))
		}
		return err
	}
	if base == "" {
		base = shelf.Nearest(ctx, m, offers)
	}
	err = shelf.Carry(ctx, &workcopy.Filling{
		Manifest: m, Base: base, Place: *p, Progress: r.progress, Ahead: ahead,
		Fetch: func(ctx context.Context, renewal *snapshot.Renewal) error { return r.fetch(ctx, m, renewal) },
	})
	if err != nil {
		return err
	}
	found, err := attemptdir.Finish(p.Dir, f)
	if err != nil {
		return err
	}
	return out.value(markDone, found)
}

// lockParent has the directory that holds dst alone: the lock leaves no file.
func lockParent(ctx context.Context, dst string) (*flock.Held, error) {
	const private = 0o700
	if err := os.MkdirAll(filepath.Dir(dst), private); err != nil {
		return nil, err
	}
	return flock.Directory(ctx, filepath.Dir(dst), flock.Exclusive)
}

func removeAll(ctx context.Context, name string) error {
	here := host.NewHere(filepath.Dir(name))
	defer func() { _ = here.Close() }() // nothing was spawned
	return here.RemoveAll(ctx, name)
}

func bootID(ctx context.Context, root string) (string, error) {
	here := host.NewHere(root)
	defer func() { _ = here.Close() }() // nothing was spawned
	p, err := here.Platform(ctx)
	return p.BootID, err
}

// closeTree takes the right to write from a tree that many will read.
func closeTree(root string) error {
	return filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 || name == root { // the root is renamed, and touched
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		const write, read = 0o222, 0o400
		return os.Chmod(name, info.Mode().Perm()&^write|read)
	})
}
