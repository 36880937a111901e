package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/store"
)

// Attachment asks for a target to be attached.
type Attachment struct {
	Name     string         `json:"name"`
	Kind     compute.Kind   `json:"kind"`
	Instance bool           `json:"instance"`
	Config   compute.Config `json:"config"`
	// Secrets are values by purpose. Sealed before they are stored.
	Secrets map[string]string `json:"secrets,omitempty"`
	// TakeOver moves a machine here that another installation has attached.
	TakeOver bool `json:"take_over"`
	// AllowSameMachine attaches a machine a second time, or this computer:
	// under a directory of its own, and unknown to the other's queue.
	AllowSameMachine bool `json:"allow_same_machine"`
}

// Attach proves a target and stores it: it reaches the machine, logs in, asks
// what it has, compares it with the other targets, claims it and opens it. When
// anything fails, nothing is stored and the machine is as it was. told hears how
// far it is, where that takes long; it may be nil.
func (c *Controller) Attach(ctx context.Context, a Attachment, told func(Progress)) (_ *TargetInfo, err error) {
	t := &compute.Target{Name: a.Name, Kind: a.Kind, Instance: a.Instance, Config: a.Config}
	if err := c.checkAttachment(a); err != nil {
		return nil, err
	}
	sealed := map[string][]byte{}
	for name, value := range a.Secrets {
		if sealed[name], err = c.sealer.seal(value); err != nil {
			return nil, err
		}
	}
	leave, err := c.comings.enter(ctx, t.Name, t)
	if err != nil {
		return nil, err
	}
	defer leave()
	if _, err := c.target(t.Name); err == nil {
		return nil, &store.TargetExistsError{Name: t.Name}
	}
	v, err := c.visit(ctx, t, sealed)
	if err != nil {
		return nil, err
	}
	taken := false // by the backend
	defer func() {
		if !taken {
			err = v.Explain(err, "attaching", "nothing is attached; when it answers again, give the same command again")
			v.Leave(ctx)
			c.endVisit(v, t)
		}
	}()
	if err := c.identify(ctx, v, t, a.AllowSameMachine); err != nil {
		return nil, err
	}
	if t.Facts, err = v.Take(ctx); err != nil {
		return nil, err
	}
	undo, err := c.claim(ctx, v, a.TakeOver)
	keep := false
	defer func() {
		if undo != nil && !keep {
			c.undoClaim(ctx, t, sealed, undo)
		}
	}()
	if err != nil {
		return nil, err
	}
	if !a.AllowSameMachine {
		if err := errors.Join(v.Note(ctx), v.Elsewhere(ctx)); err != nil {
			return nil, err
		}
	}
	if m := t.Config.Micromamba; m != nil {
		if err := c.installMicromamba(ctx, v, t, m); err != nil {
			return nil, err
		}
	}
	door, err := v.Open(ctx, func(s backends.Step) {
		if told != nil {
			told(progressOf(s))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("make the machine ready: %w", err)
	}
	taken = true
	t.AttachedAt = c.now().UTC()
	if err := c.storeTarget(ctx, t, sealed); err != nil {
		return nil, errors.Join(err, door.Close())
	}
	keep = true
	next := c.newTarget(t.Name, door.Backend, newSlots())
	next.record, next.door = &attached{Target: *t, sealed: sealed}, door
	next.record.fill(next.slots)
	c.putTarget(next)
	c.begin(next)
	c.log.Info("a target was attached", "target", t.Name, "kind", t.Kind)
	return c.Target(ctx, t.Name)
}

// claim marks a machine as ours. undo, when it is not nil, makes it what it was
// before; there is one also with an error. A claim of ours for a target that is
// not there is left of an attaching that was cut, or of one that was forgotten.
func (c *Controller) claim(ctx context.Context, v *compute.Visit, takeOver bool) (undo undoing, err error) {
	if takeOver {
		before, err := v.TakeOver(ctx)
		return func(ctx context.Context, v *compute.Visit) error { return v.GiveBack(ctx, before) }, err
	}
	made, err := v.Claim(ctx)
	if claimed, ok := errors.AsType[*compute.ClaimedError](err); ok && claimed.Ours {
		if _, unknown := c.target(claimed.Claim.Target); unknown != nil && !c.comings.isComing(claimed.Claim.Target) {
			_, err = v.TakeOver(ctx)
		}
		return nil, err
	}
	if !made {
		return nil, err
	}
	return func(ctx context.Context, v *compute.Visit) error { return v.Clear(ctx) }, err
}

// undoing makes a machine what it was before attaching it failed.
type undoing func(ctx context.Context, v *compute.Visit) error

// endVisit ends a visit that nothing more is asked of.
func (c *Controller) endVisit(v *compute.Visit, t *compute.Target) {
	if err := v.Close(); err != nil {
		c.log.Warn("the connection to a machine did not end well", "target", t.Name, "error", err)
	}
}

// installMicromamba puts one on the machine, which has a conda tool then.
func (c *Controller) installMicromamba(ctx context.Context, v *compute.Visit, t *compute.Target, m *compute.Micromamba) (err error) {
	if err := v.InstallMicromamba(ctx, m, t.Facts.System); err != nil {
		return err
	}
	if t.Facts, err = v.Take(ctx); err != nil {
		return err
	}
	return nil
}

func (c *Controller) checkAttachment(a Attachment) error {
	if c.machines == nil {
		return errNoMachines
	}
	switch a.Kind {
	case compute.SSH:
		if a.Config.Address == "" {
			return &InvalidError{What: "the machine has no address", Where: "--address"}
		}
	case compute.Cluster:
		if a.Config.Cluster == nil || a.Config.Cluster.Engine != compute.EngineSlurm {
			return &InvalidError{What: "the cluster's engine is not known", Where: "--engine", Hint: "the engine that is known is slurm"}
		}
	case compute.Spark:
		if a.Config.Spark == nil || a.Config.Spark.Master == "" {
			return &InvalidError{What: "the Spark has no master", Where: "--master", Hint: "yarn, spark://HOST:PORT, local or local[N]"}
		}
	default:
		return &InvalidError{What: fmt.Sprintf("no kind of target is named %q", a.Kind), Hint: "the kinds that can be attached are ssh, cluster and spark"}
	}
	if err := compute.CheckName(a.Name); err != nil {
		return &InvalidError{What: err.Error()}
	}
	return nil
}

// identify finds out which machine it is, and refuses one that is attached.
func (c *Controller) identify(ctx context.Context, v *compute.Visit, t *compute.Target, allowSame bool) (err error) {
	if t.MachineID, err = v.MachineID(ctx); err != nil {
		return err
	}
	t.HostKey = v.HostKey()
	var here string
	if !allowSame {
		if here, err = c.machines.HereID(ctx); err != nil {
			return err
		}
	}
	return c.comings.settle(t, func(known []compute.Known) error {
		if allowSame {
			return nil
		}
		for _, other := range c.allTargets() {
			if r := other.record; r != nil && alike(r.Kind, t.Kind) {
				known = append(known, compute.Known{Name: r.Name, MachineID: r.MachineID, HostKey: r.HostKey})
			}
		}
		known = append(known, compute.Known{Name: localTarget, MachineID: here})
		if t.Kind.OnCluster() { // through whichever of its login nodes
			return compute.Same(t.MachineID, "", known)
		}
		return compute.Same(t.MachineID, t.HostKey, known)
	})
}

// undoTimeout bounds the clearing up after attaching failed.
const undoTimeout = 30 * time.Second

// undoClaim leaves a machine as it was before attaching failed.
func (c *Controller) undoClaim(ctx context.Context, t *compute.Target, sealed map[string][]byte, undo undoing) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	v, err := c.visit(ctx, t, sealed)
	if err == nil {
		err = errors.Join(undo(ctx, v), v.Close())
	}
	if err != nil {
		c.log.Warn("a machine could not be cleared after attaching it failed", "target", t.Name, "error", err)
	}
}

func (c *Controller) storeTarget(ctx context.Context, t *compute.Target, sealed map[string][]byte) error {
	config, err := json.Marshal(t.Config)
	if err != nil {
		return fmt.Errorf("store target %s: %w", t.Name, err)
	}
	facts, err := json.Marshal(t.Facts)
	if err != nil {
		return fmt.Errorf("store target %s: %w", t.Name, err)
	}
	return c.store.AddTarget(ctx, store.Target{
		Name: t.Name, Kind: string(t.Kind), Instance: t.Instance, Config: config, Facts: facts,
		MachineID: t.MachineID, HostKey: t.HostKey, AttachedAt: t.AttachedAt, Sealed: sealed,
	})
}

// TargetCheck is what checking a target found.
type TargetCheck struct {
	Target TargetInfo `json:"target"`
	// Changes since it was attached, a line each.
	Changes []string `json:"changes"`
	// Facts are what it has now.
	Facts *compute.Facts `json:"facts"`
}

// CheckTarget reaches a target anew and says what has changed since it was
// attached. A target that cannot be reached, or is not ours any more, is an
// error.
func (c *Controller) CheckTarget(ctx context.Context, name string) (*TargetCheck, error) {
	t, err := c.named(name)
	if err != nil {
		return nil, err
	}
	if t.record == nil {
		return c.checkHere(ctx, name)
	}
	v, err := c.visit(ctx, &t.record.Target, t.record.sealed)
	if err != nil {
		return nil, err
	}
	facts, err := c.checkVisit(ctx, v)
	err = v.Explain(err, "checking", "try again when it answers")
	c.endVisit(v, &t.record.Target)
	if err != nil {
		return nil, err
	}
	if err := c.store.TouchTarget(ctx, name, c.now().UTC()); err != nil {
		return nil, err
	}
	if t.absence != nil {
		t.absence.met()
		t.absence.now()
	} else if err := t.measure(ctx); err != nil {
		return nil, fmt.Errorf("measure %s: %w", name, err)
	}
	info, err := c.Target(ctx, name)
	if err != nil {
		return nil, err
	}
	changes := compute.Changes(t.record.Facts, facts)
	if t.record.HostKey != v.HostKey() {
		changes = append(changes, fmt.Sprintf("host key: %s -> %s", t.record.HostKey, v.HostKey()))
	}
	return &TargetCheck{Target: *info, Changes: changes, Facts: facts}, nil
}

func (c *Controller) checkVisit(ctx context.Context, v *compute.Visit) (*compute.Facts, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	return v.Take(ctx)
}

// checkHere asks this computer.
func (c *Controller) checkHere(ctx context.Context, name string) (*TargetCheck, error) {
	if c.machines == nil {
		return nil, errNoMachines
	}
	facts, err := c.machines.TakeHere(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask this computer: %w", err)
	}
	info, err := c.Target(ctx, name)
	if err != nil {
		return nil, err
	}
	return &TargetCheck{Target: *info, Changes: []string{}, Facts: facts}, nil
}
