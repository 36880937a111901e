package container

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// leavingTimeout is how long a container of the same name that is being
// removed is waited for.
const leavingTimeout = 30 * time.Second

// Run creates and starts the spec's container and returns its id. When the
// mark has a container already, that one is it: started when it was not,
// whatever became of it since. The container outlives ctx and this process.
//
// A container whose first process cannot start is removed again; when the
// engine goes away in the middle it stays, for the next Run to find.
func (e *Engine) Run(ctx context.Context, s Spec) (string, error) {
	id, state, err := e.create(ctx, s)
	if err != nil {
		return "", err
	}
	if state != container.StateCreated {
		return id, nil
	}
	return id, e.start(ctx, id, s.Mark)
}

// Create is Run without the start.
func (e *Engine) Create(ctx context.Context, s Spec) (string, error) {
	id, _, err := e.create(ctx, s)
	return id, err
}

func (e *Engine) create(ctx context.Context, s Spec) (id string, state container.ContainerState, err error) {
	op := "create container " + s.Mark.Name()
	request, err := e.request(ctx, &s)
	if err != nil {
		if _, ok := errors.AsType[*Error](err); ok {
			return "", "", err
		}
		return "", "", newError(InvalidSpec, op, err)
	}
	var wait backoff
	for deadline := time.Now().Add(leavingTimeout); ; {
		created, err := e.api.ContainerCreate(ctx, request)
		switch {
		case err == nil:
			return created.ID, container.StateCreated, nil
		case isConflict(err) || isNameTaken(err):
			id, state, err := e.findOwn(ctx, op, s.Mark)
			if KindOf(err) != NotFound || time.Now().After(deadline) {
				return id, state, err
			}
		default:
			return "", "", wrap(ctx, op, err)
		}
		// It was there and is gone, or going: then the name is free soon.
		if err := wait.pause(ctx); err != nil {
			return "", "", fmt.Errorf("%s: %w", op, err)
		}
	}
}

// isNameTaken knows podman's way of saying a conflict, with status 500.
func isNameTaken(err error) bool {
	return strings.Contains(err.Error(), "is already in use")
}

// findOwn finds the mark's container by its name.
func (e *Engine) findOwn(ctx context.Context, op string, m Mark) (id string, state container.ContainerState, err error) {
	found, err := e.api.ContainerInspect(ctx, m.Name(), client.ContainerInspectOptions{})
	if err != nil {
		return "", "", wrap(ctx, op, err)
	}
	c := found.Container
	if c.State == nil || c.Config == nil {
		return "", "", newError(Failed, op, errors.New("the engine does not say what became of the container of that name"))
	}
	if c.State.Status == container.StateRemoving || c.State.Status == container.StateDead {
		return "", "", newError(NotFound, op, errors.New("the container of that name is being removed"))
	}
	owner, ok := markOf(c.Config.Labels)
	if !ok || owner != m {
		return "", "", &Error{
			Kind: NameTaken, Op: op, Err: fmt.Errorf("container %s has the name and is not this installation's", shortID(c.ID)),
			Hint: "docker rm " + m.Name() + " removes it, when nobody needs it",
		}
	}
	return c.ID, c.State.Status, nil
}

func (e *Engine) start(ctx context.Context, id string, m Mark) error {
	op := "start container " + m.Name()
	_, err := e.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
	if err == nil {
		return nil
	}
	err = wrap(ctx, op, err)
	failed, ok := err.(*Error) //nolint:errorlint // it is wrap's own
	if !ok || failed.Kind == Unreachable {
		return err
	}
	if failed.Kind != NoSpace && failed.Kind != NoGPUSupport && failed.Kind != WrongPlatform {
		failed = newError(StartFailed, op, failed.Err)
	}
	if err := e.Remove(context.WithoutCancel(ctx), id); err != nil {
		return errors.Join(failed, err)
	}
	return failed
}

// shortID is an id as engines show it.
func shortID(id string) string {
	const length = 12
	return id[:min(length, len(id))]
}
