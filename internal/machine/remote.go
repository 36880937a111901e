package machine

import (
	"context"
	"errors"
	"path"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/provision"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/workcopy"
)

// remote is what a machine needs that is not this computer.
type remote struct {
	client *onhost.Client
	// bulk has a session of its own for each stream.
	bulk     *onhost.Client
	unpacker *onhost.Unpacker
}

func newRemote(c Config, direct host.Host, bin string, l layout) *remote {
	client := onhost.New(c.Host, bin, c.unreachable)
	return &remote{
		client: client,
		bulk:   onhost.New(direct, bin, c.unreachable),
		unpacker: &onhost.Unpacker{
			Client: client, Store: c.Store, Dir: path.Join(string(l), onhost.ObjectsDir), Shelf: path.Join(string(l), workcopy.Dir),
		},
	}
}

// unreachable reports whether err says that the host cannot be asked now.
func (m *Machine) unreachable(err error) bool { return m.config.unreachable(err) }

func (c Config) unreachable(err error) bool {
	return err != nil && (errors.Is(err, onhost.ErrCut) || c.Unreachable != nil && c.Unreachable(err))
}

// failure says whose fault an error is. That the host cannot be reached ends
// nothing: it is tried again.
func (m *Machine) failure(err error) error {
	if m.unreachable(err) && !errors.Is(err, context.Canceled) {
		return &backends.Failure{
			Outcome: run.OutcomeTargetUnreachable, Temporary: true, Err: err,
			Hint: "is the machine running, and the network up? It is tried again",
		}
	}
	if onhost.Owned(err) { // it may be given back
		return &backends.Failure{
			Outcome: run.OutcomeTargetUnreachable, Temporary: true, Err: err,
			Hint: "attach it again with --take-over, or give the target up: runner compute detach --forget",
		}
	}
	return provision.FailureOf(err)
}

// unknown is the answer of a host that cannot be asked now.
func unknown(refs []backends.Ref, err error) []backends.Observation {
	seen := make([]backends.Observation, len(refs))
	for i, ref := range refs {
		seen[i] = backends.Observation{Phase: backends.Unknown, Handle: ref.Handle, Reason: err.Error()}
	}
	return seen
}
