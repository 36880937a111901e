package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/store"
)

// SecretInfo is a stored secret, without its value.
type SecretInfo struct {
	Name string `json:"name"`
	// SetAt is when its value was set the last time.
	SetAt time.Time `json:"set_at"`
	// Targets that refer to it, by name.
	Targets []string `json:"targets"`
}

// SecretInUseError is a secret that targets refer to.
type SecretInUseError struct {
	Name    string
	Targets []string
}

func (e *SecretInUseError) Error() string {
	return fmt.Sprintf("the secret %s is used by %s", e.Name, strings.Join(e.Targets, ", "))
}

// Hint says what a person can do.
func (e *SecretInUseError) Hint() string {
	return "detach them first, or set another value: runner secret set " + e.Name
}

// SetSecret stores a secret, sealed, in place of one of that name. Targets that
// refer to it have it from their next login on.
func (c *Controller) SetSecret(ctx context.Context, name, value string) error {
	if err := compute.CheckSecretName(name); err != nil {
		return &InvalidError{What: err.Error()}
	}
	if value == "" {
		return &InvalidError{What: "the secret is empty", Where: name}
	}
	sealed, err := c.sealer.seal(value)
	if err != nil {
		return err
	}
	return c.store.SetSecret(ctx, name, sealed, c.now().UTC())
}

// Secrets lists the stored secrets by name.
func (c *Controller) Secrets(ctx context.Context) ([]SecretInfo, error) {
	all, err := c.store.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]SecretInfo, len(all))
	for i, one := range all {
		list[i] = SecretInfo{Name: one.Name, SetAt: one.SetAt, Targets: c.targetsWith(one.Name)}
	}
	return list, nil
}

// DeleteSecret forgets a stored secret that no target refers to.
func (c *Controller) DeleteSecret(ctx context.Context, name string) error {
	c.comings.mu.Lock() // no target begins to come meanwhile
	defer c.comings.mu.Unlock()
	if users := append(c.targetsWith(name), c.comingWith(name)...); len(users) > 0 {
		return &SecretInUseError{Name: name, Targets: users}
	}
	return c.store.DeleteSecret(ctx, name)
}

// targetsWith are the targets that refer to a secret, by name.
func (c *Controller) targetsWith(secret string) []string {
	names := []string{}
	for _, t := range c.allTargets() {
		if t.record != nil && refersTo(t.record.Config, secret) {
			names = append(names, t.name)
		}
	}
	return names
}

// comingWith is targetsWith of those that are just being attached; c.comings is
// held.
func (c *Controller) comingWith(secret string) (names []string) {
	for name, coming := range c.comings.by {
		if coming.target != nil && refersTo(coming.target.Config, secret) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func refersTo(config compute.Config, secret string) bool {
	for _, r := range config.References() {
		if name, ok := r.Stored(); ok && name == secret {
			return true
		}
	}
	return false
}

// StoredSecret gives the value of a stored secret.
func (c *Controller) StoredSecret(ctx context.Context, name string) (string, error) {
	sealed, err := c.store.SealedSecret(ctx, name)
	if _, missing := errors.AsType[*store.NotFoundError](err); missing {
		return "", &compute.ReferenceError{What: "no secret is stored under the name " + name, Hint: "store it: runner secret set " + name}
	}
	if err != nil {
		return "", err
	}
	return c.sealer.open(sealed)
}
