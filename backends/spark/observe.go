package spark

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/sparksubmit"
)

// Observe adds what is known of the applications to what the machine says.
func (b *Backend) Observe(ctx context.Context, refs []backends.Ref) ([]backends.Observation, error) {
	seen, err := b.carrier.Observe(ctx, refs)
	if err != nil {
		return seen, err
	}
	for i, ref := range refs {
		if seen[i].Phase != backends.Running && seen[i].Phase != backends.Ended {
			continue
		}
		r, err := b.report(ctx, ref)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue // it only explains
		}
		if seen[i].Phase == backends.Ended && wasKilled(seen[i], r) {
			if seen[i], err = b.followerLost(ctx, ref, seen[i]); err != nil {
				return nil, err
			}
		}
		if r != nil {
			seen[i] = explained(seen[i], *r)
		}
	}
	return seen, nil
}

// wasKilled tells a launcher that was killed, or its supervisor, from one that
// came to an end of its own.
func wasKilled(o backends.Observation, r *sparksubmit.Report) bool {
	if r != nil && r.Concluded {
		return false
	}
	switch o.Outcome {
	case run.OutcomeScriptFailed, run.OutcomeNodeLost, run.OutcomeInternalError:
		return o.Signal != "" || o.ExitCode == nil
	case run.OutcomeOutOfMemory: // of the machine, which took the least of us for the culprit
		return r != nil && r.Application != ""
	default:
		return false
	}
}

// followerLost is an attempt whose launcher was killed. A driver in the cluster
// goes on, and is followed again; one that was here has gone with its launcher.
func (b *Backend) followerLost(ctx context.Context, ref backends.Ref, o backends.Observation) (backends.Observation, error) {
	p, err := b.plan(ctx, ref)
	switch {
	case err != nil:
		return o, err
	case p == nil:
	case p.InCluster():
		return backends.Observation{
			Phase: backends.Running, Adrift: true, Handle: o.Handle, Node: o.Node, StartedAt: o.StartedAt, Reason: "whoever followed it here was killed",
		}, nil
	case o.ExitCode == nil:
		o.Reason += "; its driver ran below that one, and is ended with it"
	}
	return o, nil
}

// Resume follows an application again.
func (b *Backend) Resume(ctx context.Context, a backends.Attempt) error {
	_, err := b.machine.StartAgain(ctx, a)
	return err
}

func (b *Backend) report(ctx context.Context, ref backends.Ref) (*sparksubmit.Report, error) {
	data, err := b.machine.LauncherFile(ctx, ref, sparksubmit.ReportFile)
	if err != nil || data == nil {
		return nil, err
	}
	r := &sparksubmit.Report{}
	return r, json.Unmarshal(data, r)
}

// explained is an observation with what the application's report says.
func explained(o backends.Observation, r sparksubmit.Report) backends.Observation {
	if r.Application != "" {
		o.Story = strings.Join(nonEmpty("Spark calls it "+r.Application, r.URL), ", ")
	}
	if o.Phase == backends.Running {
		o.Reason = strings.Join(nonEmpty(r.Application, r.Reason, r.URL), ", ")
		return o
	}
	// Only what looks like the script's own failure can be the cluster's.
	if o.Outcome == run.OutcomeScriptFailed && r.Outcome != "" {
		o.Outcome = r.Outcome
	}
	if o.Outcome != run.OutcomeCompleted && r.Reason != "" {
		o.Reason = strings.Join(nonEmpty(o.Reason, r.Reason), ": ")
	}
	return o
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}
