package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// reclaimTarget is where a directory that is taken back is in the container.
const reclaimTarget = "/.runner/reclaim"

// RemoveFiles removes a directory of ours on the host, also when containers
// left files in it that belong to other users: a container that runs as root
// (docker.arguments: --user, or a rootless engine's other users) writes such
// files. They are first given back to the host's user by a short container of
// image, which must have a chown. It is for what RemoveAll alone could not remove.
func (e *Engine) RemoveFiles(ctx context.Context, image, dir string) error {
	op := "remove files of containers in " + dir
	ours := path.Clean(e.host.Root())
	if clean := path.Clean(dir); !path.IsAbs(dir) || !strings.HasPrefix(clean, ours+"/") {
		return newError(InvalidSpec, op, fmt.Errorf("it is not within %s", ours))
	}
	if err := e.host.RemoveAll(ctx, dir); err == nil {
		return nil
	}
	platform, err := e.host.Platform(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	owner := e.info.user(platform.UID, platform.GID)
	if err := e.runAsRoot(ctx, op, image, []string{"chown", "-hR", owner, reclaimTarget}, Bind{Source: dir, Target: reclaimTarget}); err != nil {
		return err
	}
	if err := e.host.RemoveAll(ctx, dir); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// runAsRoot runs a command to its end in a container of its own, as root
// there, without a network.
func (e *Engine) runAsRoot(ctx context.Context, op, image string, command []string, b Bind) error {
	// The name is the directory's: one that a killed agent left is found again.
	sum := sha256.Sum256([]byte(b.Source))
	name := "runner-files-" + hex.EncodeToString(sum[:8])
	if err := e.Remove(ctx, name); err != nil {
		return err
	}
	config := &container.Config{
		Image: image, Entrypoint: command, User: root, NetworkDisabled: true,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	hostConfig := &container.HostConfig{
		NetworkMode: "none", UsernsMode: e.info.userns(),
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": outputSize, "max-file": "1"}},
		Mounts:    []mount.Mount{{Type: mount.TypeBind, Source: b.Source, Target: b.Target}},
	}
	if e.info.SELinux {
		hostConfig.SecurityOpt = []string{"label=disable"}
	}
	created, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{Name: name, Config: config, HostConfig: hostConfig})
	if err != nil {
		return wrap(ctx, op, err)
	}
	defer func() { _ = e.Remove(context.WithoutCancel(ctx), created.ID) }()
	waiting := e.api.ContainerWait(ctx, created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := e.api.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return wrap(ctx, op, err)
	}
	select {
	case err := <-waiting.Error:
		return wrap(ctx, op, err)
	case end := <-waiting.Result:
		if end.StatusCode == 0 {
			return nil
		}
		said, err := e.Output(ctx, created.ID, tailLines)
		if err != nil {
			return err
		}
		return newError(Failed, op, fmt.Errorf("%s ended with code %d: %w", command[0], end.StatusCode, errors.New(said)))
	}
}
