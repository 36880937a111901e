package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/queue"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

// registryPasswordName is where the registry's password is kept among the
// sealed secrets. It is no name that a spec could give.
const registryPasswordName = ".registry-password"

// InvalidError is a submission that can never be carried out as it is.
type InvalidError struct {
	What string
	// Where in the spec, or empty.
	Where string
	Hint  string
}

func (e *InvalidError) Error() string {
	if e.Where == "" {
		return e.What
	}
	return e.What + ": " + e.Where
}

// Submit stores a run and queues it. created is false when the same request
// was submitted before: then the first run comes back. Errors: *InvalidError,
// *UnknownTargetError, or the store's.
func (c *Controller) Submit(ctx context.Context, s Submission) (_ *run.Run, created bool, _ error) {
	if s.Config != nil && s.Config.Array != nil {
		return nil, false, &InvalidError{What: "an array is more than one run", Where: "array"}
	}
	a, err := c.admit(ctx, s)
	if err != nil {
		return nil, false, err
	}
	defer a.done()
	r := c.newRun(a.Submission)
	existing, created, err := c.store.CreateRun(ctx, r, s.RequestID, a.sealed)
	if err != nil {
		return nil, false, fmt.Errorf("store the run: %w", err)
	}
	if !created {
		return existing, false, nil
	}
	c.queued(a, *r)
	return r, true, nil
}

// admitted is a submission that can be stored, until done.
type admitted struct {
	Submission
	t      *target
	sealed map[string][]byte
	bytes  int64 // of the source
	done   func()
}

// admit refuses what can never be carried out, and holds the target.
func (c *Controller) admit(ctx context.Context, s Submission) (*admitted, error) {
	t, err := c.check(ctx, s)
	if err != nil {
		return nil, err
	}
	m, err := c.snapshots.Manifest(ctx, snapshot.ID(s.Snapshot))
	if err != nil {
		return nil, fmt.Errorf("snapshot %s is not here: %w", s.Snapshot, err)
	}
	if s.Config, err = c.settleInputs(ctx, s.Config); err != nil {
		return nil, err
	}
	// A prune that is at work is waited for; the next one sees that it is used.
	if err := c.snapshots.Touch(ctx, snapshot.ID(s.Snapshot)); err != nil {
		return nil, fmt.Errorf("snapshot %s is not here: %w", s.Snapshot, err)
	}
	sealed, err := c.seal(s)
	if err != nil {
		return nil, err
	}
	if err := c.register(ctx, s.Environment); err != nil {
		return nil, err
	}
	t.slots.gate.RLock()
	if t.slots.leaving {
		t.slots.gate.RUnlock()
		return nil, &InvalidError{What: fmt.Sprintf("the compute target %s is being detached", t.name), Where: "compute_target"}
	}
	if name := c.artifacts.of(s.Config); name != HomeStore {
		s.Config.Outputs.Store = name // whatever config.yaml says later
	}
	return &admitted{Submission: s, t: t, sealed: sealed, bytes: m.Totals().Bytes, done: t.slots.gate.RUnlock}, nil
}

// seal closes what nobody may read.
func (c *Controller) seal(s Submission) (sealed map[string][]byte, err error) {
	sealed = make(map[string][]byte, len(s.Secrets)+1)
	for name, value := range s.Secrets {
		if sealed[name], err = c.sealer.seal(value); err != nil {
			return nil, err
		}
	}
	if s.RegistryPassword != "" {
		if sealed[registryPasswordName], err = c.sealer.seal(s.RegistryPassword); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// queued has stored runs wait for their slots.
func (c *Controller) queued(a *admitted, runs ...run.Run) {
	wants := make([]queue.Want, len(runs))
	for i := range runs {
		r := &runs[i]
		c.metrics.Submitted(a.bytes)
		wants[i] = wantOf(r, demandOf(r.Config))
		if a.t.absence != nil {
			c.live.setRemark(r.ID, a.t.absence.words())
		}
	}
	a.t.slots.wait(wants...) // at once: each look at the queue goes through all of it
}

// register keeps an environment that has a name under it, so that later specs
// can say only the name. The newest of a name wins.
func (c *Controller) register(ctx context.Context, env *environment.Resolved) error {
	if env == nil || env.Name == "" {
		return nil
	}
	now := c.now().UTC()
	if known, err := c.store.EnvironmentByName(ctx, env.Name); err == nil && known.Digest == env.Digest {
		return c.store.TouchEnvironment(ctx, env.Digest, now)
	}
	err := c.store.PutEnvironment(ctx, store.Environment{Name: env.Name, Digest: env.Digest, Resolved: env, CreatedAt: now, UsedAt: &now})
	if err != nil {
		return fmt.Errorf("register environment %s: %w", env.Name, err)
	}
	return nil
}

func (c *Controller) newRun(s Submission) *run.Run {
	now := c.now().UTC().Truncate(time.Microsecond)
	cfg := s.Config
	r := &run.Run{
		ID:         run.NewID(run.Slug(cfg.Experiment), now, rand.Reader),
		Experiment: cfg.Experiment, DisplayName: cfg.DisplayName, Target: cfg.ComputeTarget,
		State: run.Queued, CreatedAt: now, Tags: cfg.Tags, Snapshot: s.Snapshot,
		Priority: cfg.Priority, RerunOf: s.RerunOf, Config: cfg, ResolvedEnvironment: s.Environment,
		Attempts: []run.Attempt{},
	}
	if r.Tags == nil {
		r.Tags = map[string]string{}
	}
	if s.Environment != nil {
		r.Environment = s.Environment.Digest
	}
	return r
}

// InvalidsError is everything that is wrong with a submission, when it is more
// than one thing.
type InvalidsError struct {
	All []*InvalidError
}

func (e *InvalidsError) Error() string {
	lines := make([]string, len(e.All))
	for i, one := range e.All {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// check refuses a submission that is not whole, or can never be carried out.
func (c *Controller) check(ctx context.Context, s Submission) (*target, error) {
	switch {
	case s.Config == nil:
		return nil, &InvalidError{What: "the submission has no config"}
	case s.RequestID == "":
		return nil, &InvalidError{What: "the submission has no request_id"}
	case s.Snapshot == "":
		return nil, &InvalidError{What: "the submission has no snapshot"}
	}
	return c.checkConfig(ctx, s)
}

// checkConfig looks for all that can never be carried out.
func (c *Controller) checkConfig(ctx context.Context, s Submission) (*target, error) {
	var wrong []*InvalidError
	for i, name := range s.Config.Secrets {
		if _, ok := s.Secrets[name]; !ok {
			wrong = append(wrong, &InvalidError{What: fmt.Sprintf("secret %s has no value", name), Where: fmt.Sprintf("secrets[%d]", i)})
		}
	}
	if e := c.artifacts.check(s.Config); e != nil {
		wrong = append(wrong, e)
	} else if e := c.artifacts.refused(c.ctx, s.Config); e != nil {
		wrong = append(wrong, e)
	}
	t, err := c.target(s.Config.ComputeTarget)
	wrong = append(wrong, c.checkInputs(ctx, s.Config, t == nil || t.name == localTarget)...)
	wrong = append(wrong, c.checkOutputs(ctx, s.Config)...)
	if unknown, ok := errors.AsType[*UnknownTargetError](err); ok && len(wrong) > 0 {
		wrong = append(wrong, &InvalidError{What: unknown.Error(), Where: "compute_target", Hint: unknown.Hint()})
	} else if err != nil {
		return nil, err
	}
	if t != nil {
		wrong = append(wrong, c.checkOn(t, s)...)
	}
	switch len(wrong) {
	case 0:
		return t, nil
	case 1:
		return nil, wrong[0]
	default:
		return nil, &InvalidsError{All: wrong}
	}
}

// checkOn looks for what one target can never carry out.
func (c *Controller) checkOn(t *target, s Submission) (wrong []*InvalidError) {
	if ch, ok := t.backend.(backends.Checker); ok {
		a := backends.Attempt{Experiment: s.Config.Experiment, Config: s.Config, Environment: s.Environment, Snapshot: s.Snapshot}
		if e := ch.Check(a); e != nil {
			wrong = append(wrong, &InvalidError{What: e.What, Where: e.Where, Hint: e.Hint})
		}
	}
	_, saves := t.backend.(backends.Saver)
	if s.Config.Outputs.Upload == runconfig.UploadLive && !saves && t.absence == nil {
		wrong = append(wrong, &InvalidError{
			What: fmt.Sprintf("%s cannot save outputs while a run goes on", t.name), Where: "outputs.upload", Hint: "leave upload out: they come home when it ends",
		})
	}
	if why := c.impossible(t, s.Config); why != "" {
		wrong = append(wrong, &InvalidError{What: why, Where: "resources", Hint: t.sizeHint()})
	}
	return wrong
}

// impossible says why a target can never carry a config out, or nothing.
func (c *Controller) impossible(t *target, cfg *runconfig.ScriptRunConfig) string {
	if cfg.Resources.Nodes > 1 {
		if _, ok := t.backend.(backends.Sizer); ok {
			return fmt.Sprintf("asks for %d nodes, %s is one machine", cfg.Resources.Nodes, t.name)
		}
	}
	t.slots.mu.Lock()
	size := t.slots.size
	t.slots.mu.Unlock()
	if size == nil {
		return ""
	}
	want := wantOf(&run.Run{ID: "this run"}, demandOf(cfg))
	if p := queue.Make(*size, nil, []queue.Want{want}); len(p.Impossible) > 0 {
		return p.Impossible[0].Why
	}
	return ""
}

// Plan says what a submission would do, and does nothing. What Submit would
// refuse it refuses too. A submission without a snapshot is only checked.
func (c *Controller) Plan(ctx context.Context, s Submission) (*Plan, error) {
	if s.Config == nil {
		return nil, &InvalidError{What: "the submission has no config"}
	}
	t, err := c.checkConfig(ctx, s)
	if err != nil {
		return nil, err
	}
	p := &Plan{Target: t.name}
	if s.Environment != nil {
		p.Environment, p.EnvironmentKind = s.Environment.Digest, string(s.Environment.Kind)
	}
	planner, ok := t.backend.(backends.Planner)
	if !ok || s.Snapshot == "" {
		return p, nil
	}
	if s.Config, err = c.placeInputsOfRuns(ctx, s.Config); err != nil {
		return nil, err
	}
	a := backends.Attempt{
		Run: "dry-run", Number: 1, Experiment: s.Config.Experiment, Config: s.Config,
		Environment: s.Environment, Snapshot: s.Snapshot,
	}
	got, err := planner.Plan(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p.Command, p.Image, p.EnvironmentCached = got.Command, got.Image, got.Cached
	return p, nil
}

// Cancel records the wish that a run ends, and passes it on. A run that waits
// is canceled at once. Canceling one that has ended is fine.
func (c *Controller) Cancel(ctx context.Context, id string) (*run.Run, error) {
	id, err := c.store.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	canceledNow := false
	r, err := c.store.Update(ctx, id, func(r *run.Run) ([]run.Event, error) {
		if r.State.Ended() || r.CancelRequestedAt != nil {
			return nil, errNoChange
		}
		now := c.now().UTC()
		r.CancelRequestedAt = &now
		if r.State == run.Queued {
			canceledNow = true
			return c.end(r, run.Canceled, run.OutcomeCanceled, "canceled while it waited"), nil
		}
		number := 0
		if a := r.Last(); a != nil {
			number = a.Number
		}
		return []run.Event{c.event(number, r.State, r.State, "cancel was asked for")}, nil
	})
	if errors.Is(err, errNoChange) {
		return c.Run(ctx, id)
	}
	if err != nil {
		return nil, fmt.Errorf("cancel %s: %w", id, err)
	}
	if canceledNow {
		if t, err := c.target(r.Target); err == nil {
			t.slots.leave(id)
		}
		c.live.forget(id)
		c.metrics.Ended(run.OutcomeCanceled, c.now().Sub(r.CreatedAt))
		return r, nil
	}
	c.tellStop(id)
	return r, nil
}

// wishStop records that a run's attempt has to end for a reason that is not
// the user's, and passes it on.
func (c *Controller) wishStop(ctx context.Context, t *target, id string, why run.Outcome) error {
	r, err := c.update(ctx, id, func(r *run.Run) ([]run.Event, error) {
		a := r.Last()
		if a == nil || !r.State.Holds() || a.StopRequestedAt != nil || r.State == run.Finalizing {
			return nil, errNoChange
		}
		now := c.now().UTC()
		a.StopRequestedAt, a.StopFor = &now, why
		return []run.Event{c.event(a.Number, r.State, r.State, "its slot goes to a run of vm_priority dedicated")}, nil
	})
	if err != nil {
		if isNoChange(err) {
			return nil
		}
		return err
	}
	t.slots.holdStill(heldOf(r, true))
	c.tellStop(id)
	return nil
}
