package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/store"
)

// localTarget is the target on which environments are made when nobody names
// another.
const localTarget = "local"

// UnknownEnvironmentError is a name or digest that no environment has.
type UnknownEnvironmentError struct {
	Name  string
	Known []string
}

func (e *UnknownEnvironmentError) Error() string {
	return fmt.Sprintf("no environment is named %q", e.Name)
}

// ErrKeepsNone is a target that keeps no environments of its own.
var ErrKeepsNone = errors.New("this target keeps no environments")

func (c *Controller) keeper() (backends.EnvironmentKeeper, error) {
	t, err := c.target(localTarget)
	if err != nil {
		return nil, err
	}
	k, ok := t.backend.(backends.EnvironmentKeeper)
	if !ok {
		return nil, ErrKeepsNone
	}
	return k, nil
}

// BuildEnvironment makes an environment on this computer, unless it is there,
// and registers it under name when that is not empty. What the tools say goes
// to log.
func (c *Controller) BuildEnvironment(
	ctx context.Context, env *environment.Resolved, name, registryPassword string, log io.Writer, progress func(Progress),
) (*EnvironmentInfo, error) {
	k, err := c.keeper()
	if err != nil {
		return nil, err
	}
	had, _ := k.HasEnvironment(ctx, env)
	began := c.now()
	err = k.EnsureEnvironment(ctx, env, registryPassword, func(s backends.Step) {
		progress(Progress{Step: s.Name, Detail: s.Detail, Done: s.Done, Total: s.Total, Unit: s.Unit})
	}, log)
	if err != nil {
		return nil, err
	}
	if !had {
		c.metrics.EnvironmentMade(string(env.Kind), c.now().Sub(began))
	}
	if name = cmp.Or(name, env.Name); name != "" {
		err := c.store.PutEnvironment(ctx, store.Environment{
			Name: name, Digest: env.Digest, Resolved: env, CreatedAt: c.now().UTC(),
		})
		if err != nil {
			return nil, fmt.Errorf("register environment %s: %w", name, err)
		}
	}
	return c.Environment(ctx, cmp.Or(name, env.Digest))
}

// Environments lists the registered environments and those that are made on
// this computer without a name.
func (c *Controller) Environments(ctx context.Context) ([]EnvironmentInfo, error) {
	registered, err := c.store.ListEnvironments(ctx)
	if err != nil {
		return nil, err
	}
	k, err := c.keeper()
	if err != nil {
		return nil, err
	}
	made, err := k.Environments(ctx)
	if err != nil {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	wanted, err := c.environmentsInUse(ctx)
	if err != nil {
		return nil, err
	}
	byDigest := map[string]backends.MadeEnvironment{}
	for _, m := range made {
		byDigest[m.Digest] = m
	}
	var list []EnvironmentInfo
	named := map[string]bool{}
	for _, e := range registered {
		named[e.Digest] = true
		info := EnvironmentInfo{Name: e.Name, Digest: e.Digest, CreatedAt: &e.CreatedAt, UsedAt: e.UsedAt, Resolved: e.Resolved, InUseBy: wanted[e.Digest]}
		if e.Resolved != nil {
			info.Kind = string(e.Resolved.Kind)
			info.Made, _ = k.HasEnvironment(ctx, e.Resolved)
		}
		if m, ok := byDigest[e.Digest]; ok {
			info.add(m)
		}
		list = append(list, info)
	}
	for _, m := range made {
		if !named[m.Digest] {
			info := EnvironmentInfo{Digest: m.Digest, InUseBy: wanted[m.Digest], CreatedAt: &m.MadeAt}
			info.add(m)
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b EnvironmentInfo) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest))
	})
	return list, nil
}

func (i *EnvironmentInfo) add(m backends.MadeEnvironment) {
	i.Made, i.Bytes, i.Kind = true, m.Bytes, string(m.Kind)
	if !m.UsedAt.IsZero() && (i.UsedAt == nil || i.UsedAt.Before(m.UsedAt)) {
		i.UsedAt = &m.UsedAt
	}
}

// environmentsInUse are the unfinished runs by the digests that they want.
func (c *Controller) environmentsInUse(ctx context.Context) (map[string][]string, error) {
	active, err := c.store.Active(ctx)
	if err != nil {
		return nil, err
	}
	wanted := map[string][]string{}
	for _, r := range active {
		if r.Environment != "" {
			wanted[r.Environment] = append(wanted[r.Environment], r.ID)
		}
	}
	return wanted, nil
}

// Environment finds one by name, or by a unique beginning of its digest.
func (c *Controller) Environment(ctx context.Context, name string) (*EnvironmentInfo, error) {
	all, err := c.Environments(ctx)
	if err != nil {
		return nil, err
	}
	var found []EnvironmentInfo
	e := &UnknownEnvironmentError{Name: name}
	for _, i := range all {
		if i.Name == name {
			return &i, nil
		}
		if i.Name != "" {
			e.Known = append(e.Known, i.Name)
		}
		hex := strings.TrimPrefix(i.Digest, "sha256:")
		if len(name) >= 6 && strings.HasPrefix(hex, strings.TrimPrefix(name, "sha256:")) {
			found = append(found, i)
		}
	}
	if len(found) == 0 || slices.ContainsFunc(found, func(i EnvironmentInfo) bool { return i.Digest != found[0].Digest }) {
		return nil, e
	}
	return &found[0], nil
}

// EnvironmentLock gives the exact versions of an environment that is made here.
func (c *Controller) EnvironmentLock(ctx context.Context, name string) (string, error) {
	info, err := c.Environment(ctx, name)
	if err != nil {
		return "", err
	}
	k, err := c.keeper()
	if err != nil {
		return "", err
	}
	env := info.Resolved
	if env == nil {
		env = &environment.Resolved{Digest: info.Digest, Kind: environment.Kind(info.Kind)}
	}
	return k.EnvironmentLock(ctx, env)
}
