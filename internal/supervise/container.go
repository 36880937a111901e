package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"github.com/runnerml/runner/internal/host"
)

// launchFile is where a launch waits for the supervisor in a container.
const launchFile = "launch.json"

// InContainer says where things are inside a container, and who runs there.
type InContainer struct {
	// Bin is this program as the container sees it.
	Bin string
	// Dir is the supervised directory as the container sees it.
	Dir string
	// UID and GID that the container runs as, when that is not us: the
	// directory and the launch are given to them (only root can).
	UID, GID *int
}

// LaunchInContainer prepares dir, a directory on the host that the container
// will see as in.Dir, and gives the command line for the container. Its
// process 1 is then the supervisor, and its exit code the process's own.
// Memory and CPUs are the engine's to limit and are taken out of the launch,
// but for the words on an end for want of memory.
//
// Status, OpenLog and OffsetSince work on dir as for any other. To stop, leave
// a Wish and have the engine send SIGTERM.
func LaunchInContainer(ctx context.Context, h host.Host, dir string, l Launch, in InContainer) (argv []string, err error) {
	l.EngineMemory, l.Memory, l.CPUs = l.Memory, 0, 0
	if err := l.Validate(); err != nil {
		return nil, err
	}
	if !path.IsAbs(in.Bin) || !path.IsAbs(in.Dir) {
		return nil, errors.New("launch in a container: paths must be absolute")
	}
	data, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("launch %s: %w", l.Mark, err)
	}
	file := path.Join(dir, launchFile)
	if err := h.MkdirAll(ctx, dir, 0o700); err != nil {
		return nil, fmt.Errorf("launch %s: %w", l.Mark, err)
	}
	if err := h.WriteFile(ctx, file, data, 0o600); err != nil {
		return nil, fmt.Errorf("launch %s: %w", l.Mark, err)
	}
	if in.UID != nil && in.GID != nil {
		if err := give(ctx, h, *in.UID, *in.GID, dir, file); err != nil {
			return nil, fmt.Errorf("launch %s: %w", l.Mark, errors.Join(err, h.RemoveAll(ctx, file)))
		}
	}
	return in.Argv(), nil
}

// Argv is the command line of the supervisor in the container.
func (in InContainer) Argv() []string {
	return []string{in.Bin, "supervise", "--launch-file", path.Join(in.Dir, launchFile), in.Dir}
}

// give changes the owner of files.
func give(ctx context.Context, h host.Host, uid, gid int, paths ...string) error {
	if _, local := h.(host.Local); !local {
		owner := strconv.Itoa(uid) + ":" + strconv.Itoa(gid)
		return h.Run(ctx, host.Command{Argv: append([]string{"chown", "-h", owner, "--"}, paths...)})
	}
	for _, p := range paths {
		if err := os.Lchown(p, uid, gid); err != nil {
			return err
		}
	}
	return nil
}
