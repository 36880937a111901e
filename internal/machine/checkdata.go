package machine

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/datafetch"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/runconfig"
)

var _ backends.DataChecker = (*Machine)(nil)

// CheckData reads some of an input where a run of this machine would read it:
// on the machine, and on this computer when it would go through here.
func (m *Machine) CheckData(ctx context.Context, in runconfig.Input) ([]backends.DataReading, error) {
	if in.Kind() != runconfig.InputURL {
		return m.checkPath(ctx, in)
	}
	measured, err := m.measure(ctx, in)
	first, unreachable := reading(backends.OnTarget, measured, err), m.unreachable(err)
	if unreachable {
		return nil, m.failure(err)
	}
	all := []backends.DataReading{first}
	if m.remote == nil || first.Error == "" || onhost.TroubleOf(err) != onhost.Away && !errors.Is(err, errThroughUs) {
		return all, nil
	}
	measured, err = m.measureHere(ctx, in)
	return append(all, reading("", measured, err)), nil
}

func reading(where string, m datafetch.Measured, err error) backends.DataReading {
	r := backends.DataReading{Where: where, Files: m.Files, Bytes: m.Bytes, Read: m.Read, Seconds: m.Seconds}
	if err != nil {
		r = backends.DataReading{Where: where, Error: err.Error(), Hint: onhost.HintOf(err)}
		if failed, ok := errors.AsType[*onhost.HostError](err); ok {
			r.Error = failed.Message
		}
	}
	return r
}

// checkPath is CheckData of what has no address.
func (m *Machine) checkPath(ctx context.Context, in runconfig.Input) ([]backends.DataReading, error) {
	name := path.Clean(in.TargetPath())
	if m.remote == nil || in.Kind() != runconfig.InputTarget {
		measured, err := datafetch.MeasurePath(ctx, name)
		where := ""
		if m.remote == nil {
			where = backends.OnTarget
		}
		if m.remote == nil || !errors.Is(err, fs.ErrNotExist) {
			return []backends.DataReading{reading(where, measured, err)}, nil
		}
	}
	measured, err := m.remote.client.MeasurePath(ctx, name)
	if m.unreachable(err) {
		return nil, m.failure(err)
	}
	return []backends.DataReading{reading(backends.OnTarget, measured, err)}, nil
}

// errThroughUs is data that we may read and cannot let others read.
var errThroughUs = errors.New("it cannot be given a right of its own to read it: that needs the account's key or an identity")

func (m *Machine) measure(ctx context.Context, in runconfig.Input) (datafetch.Measured, error) {
	if m.remote == nil {
		return m.measureHere(ctx, in)
	}
	if blob.IsLocation(in.Path) {
		s, through, err := m.blobSource(ctx, in)
		if err == nil && through {
			err = errThroughUs
		}
		if err != nil {
			return datafetch.Measured{}, err
		}
		return m.remote.client.Measure(ctx, s)
	}
	file, err := m.remote.client.Look(ctx, in.Path)
	if err != nil {
		return datafetch.Measured{}, err
	}
	return m.remote.client.Measure(ctx, datafetch.Unchecked(in.Path, file))
}

// measureHere is what this computer can read.
func (m *Machine) measureHere(ctx context.Context, in runconfig.Input) (datafetch.Measured, error) {
	if !blob.IsLocation(in.Path) {
		file, err := datafetch.Web{}.Look(ctx, in.Path)
		if err != nil {
			return datafetch.Measured{}, err
		}
		return datafetch.Unchecked(in.Path, file).Measure(ctx)
	}
	container, err := m.openContainer(ctx, in)
	if err != nil {
		return datafetch.Measured{}, err
	}
	defer container.Close()
	s, err := datafetch.OfBlobs(ctx, container)
	if err != nil {
		return datafetch.Measured{}, err
	}
	return s.Measure(ctx)
}
