package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// placedInput is an input where the script finds it.
type placedInput struct {
	Name string `json:"name"`
	// Source on the host, and Path as the script sees it: the same for a plain
	// process.
	Source string `json:"source"`
	Path   string `json:"path"`
	// ReadOnly: it is the user's own and must stay as it is.
	ReadOnly bool `json:"read_only,omitempty"`
}

// placeInputs puts the inputs where the script will find them. One that is to
// be mounted is used where it lies: a container sees it read-only, a process
// is trusted with it as the user's own programs are.
func (m *Machine) placeInputs(ctx context.Context, a backends.Attempt, at place, r *record, progress backends.Progress) ([]placedInput, error) {
	if len(a.Config.Inputs) == 0 {
		return nil, nil
	}
	if err := m.host.RemoveAll(ctx, at.inputs()); err != nil {
		return nil, err
	}
	// A copy that nobody waits for any more may still go on there: what it
	// makes goes with the attempt at the latest.
	_ = m.removeHalfInputs(ctx, at)
	var placed []placedInput
	for i, name := range slices.Sorted(maps.Keys(a.Config.Inputs)) {
		progress.Report(backends.Step{Name: "inputs", Detail: name, Done: int64(i), Total: int64(len(a.Config.Inputs))})
		place := m.placeInput
		switch {
		case a.Config.Inputs[name].Kind() == runconfig.InputURL:
			place = m.placeFetched
		case m.remote != nil:
			place = m.placeSent
		}
		p, err := place(ctx, name, a.Config.Inputs[name], at, r, progress)
		if err != nil {
			return nil, err
		}
		placed = append(placed, p)
	}
	return placed, nil
}

func (m *Machine) placeInput(ctx context.Context, name string, in runconfig.Input, at place, r *record, _ backends.Progress) (placedInput, error) {
	p, err := m.placeOf(ctx, name, in, at, r.Form)
	if err != nil || p.ReadOnly {
		return p, err
	}
	if err := m.copyInput(ctx, at, path.Clean(in.TargetPath()), p.Source); err != nil {
		if ctx.Err() != nil {
			return p, err
		}
		return p, inputFailure(name, "", "copy %s: %w", in.Path, err)
	}
	return p, nil
}

// placeOf says where an input will be, and refuses one that cannot be read.
func (m *Machine) placeOf(ctx context.Context, name string, in runconfig.Input, at place, f form) (placedInput, error) {
	if in.Kind() == runconfig.InputURL {
		p := placedInput{Name: name, Source: path.Join(string(m.layout), onhost.InputsDir, "...", path.Base(in.Path)), ReadOnly: true}
		p.place(at, f, in.Mode, true) // what it is nobody asked yet
		return p, nil
	}
	if err := checkInput(name, in); err != nil {
		return placedInput{}, err
	}
	var sent *sentInput
	if m.remote != nil {
		var err error
		if sent, err = m.pictured(ctx, in, true); err != nil {
			return placedInput{}, inputFailure(name, "", "%w", err)
		}
	}
	return m.placeAt(ctx, name, in, at, f, sent)
}

// checkInput refuses what names no path.
func checkInput(name string, in runconfig.Input) error {
	if !path.IsAbs(in.TargetPath()) {
		return inputFailure(name, "give the whole path", "%s is not an absolute path", in.Path)
	}
	return nil
}

// placeAt says where an input will be that was sent, or lies on the host.
func (m *Machine) placeAt(ctx context.Context, name string, in runconfig.Input, at place, f form, sent *sentInput) (placedInput, error) {
	p := placedInput{Name: name, Source: path.Clean(in.TargetPath()), ReadOnly: true}
	var isDir bool
	if sent != nil {
		p.Source, isDir = sent.source, sent.isDir
	} else {
		info, err := m.host.Stat(ctx, p.Source)
		if errors.Is(err, fs.ErrNotExist) {
			return placedInput{}, inputFailure(name, "check inputs."+name+".path: "+m.lookedFor(in), "%s is not there", in.Path)
		}
		if m.unreachable(err) {
			return placedInput{}, err
		}
		if err != nil {
			return placedInput{}, inputFailure(name, "", "%w", err)
		}
		isDir = info.IsDir()
	}
	p.place(at, f, in.Mode, isDir)
	return p, nil
}

// place says where the script finds what is at Source, and where its own copy
// will be when it has one.
func (p *placedInput) place(at place, f form, mode string, isDir bool) {
	inside := url.PathEscape(p.Name)
	if !isDir {
		inside = path.Join(inside, path.Base(p.Source)) // programs look at the ending
	}
	if mode == runconfig.ModeCopy {
		p.Source, p.ReadOnly = path.Join(at.inputs(), inside), false
	}
	p.Path = p.Source
	if f == inContainer {
		p.Path = path.Join(insideInputs, inside)
	}
}

func (m *Machine) lookedFor(in runconfig.Input) string {
	if m.remote != nil && in.Kind() != runconfig.InputTarget {
		return "it is looked for on this computer, then on the machine that carries the run out"
	}
	return "it is looked for on the machine that carries the run out"
}

func inputFailure(name, hint, format string, args ...any) error {
	return &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Hint: hint, Err: fmt.Errorf("input "+name+": "+format, args...)}
}

// copyInput makes a whole copy under a name that nobody else uses, and only
// then gives it its own: another agent's copying, killed or not, is never mixed
// with ours. A path that is itself a link is followed; links inside stay links.
func (m *Machine) copyInput(ctx context.Context, at place, from, to string) error {
	fresh := at.inputs() + halfInput + rand.Text()
	for _, dir := range []string{fresh, path.Dir(to)} {
		if err := m.host.MkdirAll(ctx, dir, private); err != nil {
			return err
		}
	}
	whole := path.Join(fresh, "copy")
	err := m.host.Run(ctx, host.Command{Argv: []string{"cp", "-a", "-H", "--", from, whole}, DiesWithUs: true})
	if err == nil {
		err = m.host.Rename(ctx, whole, to)
	}
	return errors.Join(err, m.host.RemoveAll(context.WithoutCancel(ctx), fresh))
}

// halfInput is in the name of a copy that is being made, after inputs().
const halfInput = ".half-"

// removeHalfInputs removes copies that were cut.
func (m *Machine) removeHalfInputs(ctx context.Context, at place) error {
	names, err := m.list(ctx, string(at))
	for _, name := range names {
		if strings.HasPrefix(name, path.Base(at.inputs())+halfInput) {
			err = errors.Join(err, m.host.RemoveAll(ctx, path.Join(string(at), name)))
		}
	}
	return err
}
