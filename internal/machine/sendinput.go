package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
)

// sentInput is an input on this computer that another machine is to have: it
// lies there under the digest of what is in it, for all runs that want it.
type sentInput struct {
	id snapshot.ID
	// dir of the machine that holds it, and source the input itself.
	dir, source string
	isDir       bool
}

// pictureInput looks at an input on this computer; nil: it is not here. With
// dry nothing is stored.
func (m *Machine) pictureInput(ctx context.Context, name string, dry bool) (*sentInput, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // perhaps there
	}
	if err != nil {
		return nil, err
	}
	from, only := name, ""
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no file or directory", name)
		}
		file, err := filepath.EvalSymlinks(name)
		if err != nil {
			return nil, err
		}
		if from, only = filepath.Split(file); only != filepath.Base(name) { // it is to have the link's name there
			if from, err = os.MkdirTemp("", "runner-input-"); err != nil {
				return nil, err
			}
			defer func() { _ = os.RemoveAll(from) }() // in the system's temporary directory
			if err := linkOrCopy(ctx, file, filepath.Join(from, filepath.Base(name))); err != nil {
				return nil, err
			}
			only = ""
		}
	}
	const noLimit = -1
	// Data is taken as it is: what an ignore file in it says is about sources.
	taken, err := m.config.Store.Take(ctx, from, snapshot.Options{MaxBytes: noLimit, Whole: true, Only: only, DryRun: dry})
	if err != nil {
		return nil, err
	}
	s := &sentInput{id: taken.ID, dir: path.Join(string(m.layout), onhost.InputsDir, taken.ID.Hex()), isDir: info.IsDir()}
	s.source = s.dir
	if !s.isDir {
		s.source = path.Join(s.dir, filepath.Base(name))
	}
	return s, nil
}

// pictured is pictureInput of an input that is not said to be on the machine.
func (m *Machine) pictured(ctx context.Context, in runconfig.Input, dry bool) (*sentInput, error) {
	if in.Kind() == runconfig.InputTarget {
		return nil, nil //nolint:nilnil // it is there
	}
	return m.pictureInput(ctx, path.Clean(in.Path), dry)
}

func linkOrCopy(ctx context.Context, from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = in.Close() }) // ends the copy
	defer stop()
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), ctx.Err())
}

// sendInput brings an input to the machine, unless it is there.
func (m *Machine) sendInput(ctx context.Context, name string, s *sentInput, progress backends.Progress) error {
	return m.remote.unpacker.Keep(ctx, s.id, s.dir, func(p snapshot.Progress) {
		progress.Report(backends.Step{Name: "inputs", Detail: name, Done: p.Bytes, Total: p.TotalBytes, Unit: "B"})
	})
}

// placeSent is placeInput for a machine that is not this computer: what is
// here is brought there, what is only there is used as it lies.
func (m *Machine) placeSent(ctx context.Context, name string, in runconfig.Input, at place, r *record, progress backends.Progress) (placedInput, error) {
	if err := checkInput(name, in); err != nil {
		return placedInput{}, err
	}
	sent, err := m.pictured(ctx, in, false)
	if err != nil {
		return placedInput{}, inputFailure(name, "", "%w", err)
	}
	p, err := m.placeAt(ctx, name, in, at, r.Form, sent)
	if err != nil || sent == nil && p.ReadOnly {
		return p, err
	}
	from := path.Clean(in.TargetPath())
	if sent != nil {
		if err := m.hold(ctx, at, r, path.Base(sent.dir)); err != nil {
			return p, err
		}
		if err := m.sendInput(ctx, name, sent, progress); err != nil {
			return p, err
		}
		from = sent.source
	}
	if p.ReadOnly {
		return p, nil
	}
	if sent != nil {
		return p, m.ownCopy(ctx, name, at, from, p.Source)
	}
	if err := m.copyInput(ctx, at, from, p.Source); err != nil && !m.unreachable(err) {
		return p, inputFailure(name, "", "copy %s: %w", in.Path, err)
	} else if err != nil {
		return p, err
	}
	return p, nil
}
