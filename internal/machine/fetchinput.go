package machine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/datafetch"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/runconfig"
)

// fetchTries is how often an input is looked at anew that changed while it was
// read, or whose right to read ran out.
const fetchTries = 5

// lasted is how long a right to read counts at least, unless something is wrong
// with it or with a clock.
const lasted = 10 * time.Minute

// placeFetched is placeInput of what has an address: it is brought into the
// machine's cache, where all runs find it.
func (m *Machine) placeFetched(ctx context.Context, name string, in runconfig.Input, at place, r *record, progress backends.Progress) (placedInput, error) {
	source, err := m.fetchInput(ctx, name, in, at, r, progress)
	if err != nil {
		return placedInput{}, m.dataFailure(name, err)
	}
	p := placedInput{Name: name, Source: source.path, ReadOnly: true}
	p.place(at, r.Form, in.Mode, source.isDir)
	if p.ReadOnly {
		return p, nil
	}
	return p, m.ownCopy(ctx, name, at, source.path, p.Source)
}

// dataFailure says whose fault it is that an input cannot be read. What waiting
// may help is tried again.
func (m *Machine) dataFailure(name string, err error) error {
	if m.unreachable(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*backends.Failure](err); ok {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("input %s: %w", name, err) // room may be made
	}
	failed := inputFailure(name, onhost.HintOf(err), "%w", err)
	if f, ok := errors.AsType[*backends.Failure](failed); ok {
		f.Temporary = onhost.TroubleOf(err) == onhost.Away
	}
	return failed
}

// fetched is an input in the machine's cache.
type fetched struct {
	path  string
	isDir bool
}

func (m *Machine) fetchInput(ctx context.Context, name string, in runconfig.Input, at place, r *record, progress backends.Progress) (fetched, error) {
	var err error
	for try := 0; try < fetchTries; try++ {
		began := time.Now()
		var source datafetch.Source
		var through bool
		if source, through, err = m.sourceOf(ctx, in); err != nil {
			return fetched{}, err
		}
		var got fetched
		got, err = m.bring(ctx, name, source, through, at, r, progress)
		switch onhost.TroubleOf(err) {
		case onhost.Expired:
			if time.Since(began) > lasted { // it was good for as long as a right is
				try = -1
			}
		case onhost.Changed:
		default:
			return got, err
		}
	}
	return fetched{}, err
}

// sourceOf looks at an input: the machine itself where it can, since it is the
// one that will read it. through: it has to go through this computer.
func (m *Machine) sourceOf(ctx context.Context, in runconfig.Input) (s datafetch.Source, through bool, err error) {
	if blob.IsLocation(in.Path) {
		return m.blobSource(ctx, in)
	}
	look := datafetch.Web{}.Look
	if m.remote != nil {
		look = m.remote.client.Look
	}
	file, err := look(ctx, in.Path)
	if m.remote != nil && onhost.TroubleOf(err) == onhost.Away {
		through = true
		file, err = datafetch.Web{}.Look(ctx, in.Path)
	}
	if err != nil {
		return s, through, err
	}
	s, err = datafetch.OfFile(in.Path, file, in.SHA256)
	return s, through, err
}

// blobSource looks at blobs with our right to them, and gives the machine one of
// its own to read them: never ours.
func (m *Machine) blobSource(ctx context.Context, in runconfig.Input) (s datafetch.Source, through bool, err error) {
	container, err := m.openContainer(ctx, in)
	if err != nil {
		return s, false, err
	}
	defer container.Close()
	if s, err = datafetch.OfBlobs(ctx, container); err != nil || m.remote == nil {
		return s, false, err
	}
	granted, can, err := s.Grant(ctx)
	if err != nil || !can {
		return s, true, err
	}
	return granted, false, nil
}

func (m *Machine) openContainer(ctx context.Context, in runconfig.Input) (*blob.Container, error) {
	l, err := blob.ParseLocation(in.Path)
	if err != nil {
		return nil, err
	}
	if m.config.Credential == nil {
		return nil, errors.New("this target reads nothing from Azure Blob Storage")
	}
	c, err := m.config.Credential(ctx, l.Account)
	if err != nil {
		return nil, err
	}
	return blob.Open(l, c, blob.Options{})
}

// bring fills the machine's cache. The attempt's record says first that it holds
// it, so that no prune takes it.
func (m *Machine) bring(
	ctx context.Context, name string, s datafetch.Source, through bool, at place, r *record, progress backends.Progress,
) (fetched, error) {
	report := func(done, total int64) {
		progress.Report(backends.Step{Name: "inputs", Detail: name, Done: done, Total: max(0, total), Unit: "B"})
	}
	if !through {
		if err := m.hold(ctx, at, r, s.Key); err != nil {
			return fetched{}, err
		}
		bring := onhost.Bring
		if m.remote != nil {
			bring = m.remote.client.Bring
		}
		err := bring(ctx, string(m.layout), s, report)
		if err == nil {
			return fetched{path: path.Join(string(m.layout), onhost.InputsDir, s.Key, s.Name), isDir: s.Name == ""}, nil
		}
		if m.remote == nil || onhost.TroubleOf(err) != onhost.Away {
			return fetched{}, err
		}
	}
	return m.bringThroughUs(ctx, name, s, at, r, report, progress)
}

// bringThroughUs brings data into this computer's cache, and from there to the
// machine.
func (m *Machine) bringThroughUs(
	ctx context.Context, name string, s datafetch.Source, at place, r *record, report datafetch.Progress, progress backends.Progress,
) (fetched, error) {
	if m.config.Here == "" {
		return fetched{}, errors.New("the machine cannot reach it, and there is no room on this computer for it")
	}
	progress.Report(backends.Step{Name: "inputs", Detail: name + ": the machine cannot reach it, it goes through this computer"})
	if err := onhost.Bring(ctx, m.config.Here, s, report); err != nil {
		return fetched{}, err
	}
	sent, err := m.pictureInput(ctx, filepath.Join(m.config.Here, onhost.InputsDir, s.Key, s.Name), false)
	if err != nil {
		return fetched{}, err
	}
	if sent == nil {
		return fetched{}, fmt.Errorf("%s was removed from this computer meanwhile", s.Key)
	}
	if err := m.hold(ctx, at, r, path.Base(sent.dir)); err != nil {
		return fetched{}, err
	}
	if err := m.sendInput(ctx, name, sent, progress); err != nil {
		return fetched{}, err
	}
	return fetched{path: sent.source, isDir: sent.isDir}, nil
}

// hold writes down that the attempt has something in the machine's cache.
func (m *Machine) hold(ctx context.Context, at place, r *record, key string) error {
	r.Holds = append(r.Holds, key)
	return m.writeRecord(ctx, at, r)
}

// ownCopy gives the script a copy of a shared input that it may change.
func (m *Machine) ownCopy(ctx context.Context, name string, at place, from, to string) error {
	err := m.copyInput(ctx, at, from, to)
	if err == nil {
		err = m.host.Run(ctx, host.Command{Argv: []string{"chmod", "-R", "u+w", "--", to}})
	}
	if err != nil && !m.unreachable(err) && ctx.Err() == nil {
		err = inputFailure(name, "", "copy %s: %w", from, err)
	}
	return err
}
