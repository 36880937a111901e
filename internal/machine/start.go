package machine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/supervise"
)

// errNotPrepared is a Start without a Prepare.
var errNotPrepared = errors.New("it is not prepared")

// Start begins the attempt. Its directory is its mark: what was started there
// is not started again.
func (m *Machine) Start(ctx context.Context, a backends.Attempt) (backends.Handle, error) {
	defer m.attempts.lock(a.Ref())()
	handle, err := m.start(ctx, a)
	if err != nil {
		return "", m.failure(err)
	}
	m.watching.add(m.layout.attempt(a.Ref()).sup(), formOfHandle(handle))
	return handle, nil
}

func (m *Machine) start(ctx context.Context, a backends.Attempt) (backends.Handle, error) {
	at := m.layout.attempt(a.Ref())
	r := m.ready.take(a.Ref())
	if r == nil {
		var err error
		if r, err = m.readRecord(ctx, at); err != nil {
			return "", err
		}
	}
	if r == nil || !r.Prepared {
		return "", errNotPrepared
	}
	if err := m.checkBoot(ctx, r, at); err != nil {
		return "", err
	}
	if r.Form == inContainer {
		return m.startContainer(ctx, a, r, at)
	}
	l, err := m.launch(ctx, a, r, at)
	if err != nil {
		return "", err
	}
	s, err := m.keeper.Start(ctx, at.sup(), l)
	if err != nil {
		return "", err
	}
	return handleOf(process, a.Ref(), s), nil
}

// StartAgain starts what followed an attempt that goes on elsewhere, and is gone:
// its log goes on where it ended. What is still there stays as it is.
func (m *Machine) StartAgain(ctx context.Context, a backends.Attempt) (backends.Handle, error) {
	defer m.attempts.lock(a.Ref())()
	at := m.layout.attempt(a.Ref())
	handle, err := m.startAgain(ctx, a, at)
	if err != nil {
		return "", m.failure(err)
	}
	m.watching.add(at.sup(), process)
	return handle, nil
}

func (m *Machine) startAgain(ctx context.Context, a backends.Attempt, at place) (backends.Handle, error) {
	r, err := m.readRecord(ctx, at)
	if err != nil {
		return "", err
	}
	if r == nil || !r.Prepared || r.Form != process {
		return "", errNotPrepared
	}
	l, err := m.launch(ctx, a, r, at)
	if err != nil {
		return "", err
	}
	l.Again = true
	s, err := m.keeper.Start(ctx, at.sup(), l)
	if err != nil {
		return "", err
	}
	return handleOf(process, a.Ref(), s), nil
}

// handleOf says in a word what a person would look for: the process's id, or
// the container's name. All else is found by the attempt's directory.
func handleOf(f form, ref backends.Ref, s supervise.Status) backends.Handle {
	if f == inContainer {
		return backends.Handle(string(inContainer) + ":" + containerMark(ref, "").Name())
	}
	return backends.Handle(fmt.Sprintf("%s:%d", process, s.PID))
}

func formOfHandle(h backends.Handle) form {
	f, _, _ := strings.Cut(string(h), ":")
	return form(f)
}

func containerMark(ref backends.Ref, installation string) container.Mark {
	return container.Mark{Run: ref.Run, Attempt: ref.Number, Home: installation}
}

func (m *Machine) startContainer(ctx context.Context, a backends.Attempt, r *record, at place) (backends.Handle, error) {
	status, err := m.status(ctx, at)
	if err != nil {
		return "", err
	}
	handle := handleOf(inContainer, a.Ref(), status)
	if status.Phase != supervise.Absent {
		// The launch, with its secrets, may be there from one who was killed
		// between writing it and finding that it was not needed.
		return handle, m.host.RemoveAll(ctx, path.Join(at.sup(), launchFile))
	}
	engine, err := m.engines.get(ctx)
	if err != nil {
		return "", err
	}
	l, err := m.launch(ctx, a, r, at)
	if err != nil {
		return "", err
	}
	spec, err := m.containerSpec(ctx, a, r, at)
	if err != nil {
		return "", err
	}
	spec.Command, err = supervise.LaunchInContainer(ctx, m.host, at.sup(), l, supervise.InContainer{Bin: insideBin, Dir: insideSup})
	if err != nil {
		return "", err
	}
	id, err := engine.Run(ctx, spec)
	if err == nil {
		err = m.begun(ctx, engine, a.Ref(), at)
	}
	if err != nil && (ctx.Err() != nil || container.KindOf(err) == container.Unreachable) {
		return "", err // it may have started: the launch is its supervisor's
	}
	if removeErr := m.host.RemoveAll(context.WithoutCancel(ctx), path.Join(at.sup(), launchFile)); removeErr != nil {
		err = errors.Join(err, removeErr)
	}
	_ = id // its name is enough
	return handle, err
}

// launchFile in the supervised directory holds the launch until it is read.
const launchFile = "launch.json"

// beginStep is how often a container's supervisor is looked for, here and on
// another machine.
const (
	beginStep      = 2 * time.Millisecond
	beginStepThere = 30 * time.Millisecond
)

// begun waits until the supervisor in the container has said its first word:
// from then on a wish to stop reaches it. A container that ended without one
// is left for Observe to explain.
func (m *Machine) begun(ctx context.Context, engine *container.Engine, ref backends.Ref, at place) error {
	every := beginStep
	if m.remote != nil {
		every = beginStepThere
	}
	step := time.NewTicker(every)
	defer step.Stop()
	const askEngineEvery = 100
	for i := 1; ; i++ {
		status, err := m.status(ctx, at)
		if err != nil || status.Phase != supervise.Absent {
			return err
		}
		if i%askEngineEvery == 0 {
			states, err := engine.Observe(ctx, m.config.Installation, containerMark(ref, m.config.Installation))
			if err != nil {
				return err
			}
			if len(states) == 0 || states[0].Phase != container.Running && states[0].Phase != container.Created {
				return nil
			}
		}
		select {
		case <-step.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// containerSpec is the attempt's container. Its environment holds nothing of
// the run: an engine shows that to whoever asks, so all of it is in the launch.
func (m *Machine) containerSpec(ctx context.Context, a backends.Attempt, r *record, at place) (container.Spec, error) {
	docker := environment.Docker{}
	if a.Environment.Docker != nil {
		docker = *a.Environment.Docker
	}
	spec := container.Spec{
		Mark: containerMark(a.Ref(), m.config.Installation), Image: r.Image, Dir: insideWork,
		UID: m.platform.UID, GID: m.platform.GID,
		Memory: int64(a.Config.Resources.Memory), CPUs: a.Config.Resources.CPUs,
		Binds: []container.Bind{
			{Source: m.bin, Target: insideBin, ReadOnly: true},
			{Source: at.work(), Target: insideWork},
			{Source: at.sup(), Target: insideSup},
			{Source: m.layout.checkpoint(a.Run), Target: insideCheckpoint},
		},
	}
	for _, in := range r.Inputs {
		spec.Binds = append(spec.Binds, container.Bind{Source: in.Source, Target: in.Path, ReadOnly: in.ReadOnly})
	}
	var err error
	if docker.ShmSize != "" {
		if spec.ShmSize, err = environment.ParseSize(docker.ShmSize); err != nil {
			return spec, specFailure("docker.shm_size", err)
		}
	}
	if spec.Extra, err = container.ParseArguments(docker.Arguments); err != nil {
		return spec, specFailure("docker.arguments", err)
	}
	for _, v := range docker.Volumes {
		b, err := parseVolume(v)
		if err != nil {
			return spec, specFailure("docker.volumes", err)
		}
		spec.Binds = append(spec.Binds, b)
	}
	spec.GPUs, err = m.containerGPUs(ctx, a.Allocation.GPUs)
	return spec, err
}
