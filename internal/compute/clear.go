package compute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/runnerml/runner/internal/host"
)

// ours are the names in our directory on a machine that we make: attempts and
// checkpoints, environments, pictures of sources, inputs, the supervisor's
// program, tools that attaching was asked to bring, and when it was pruned.
var ours = []string{"runs", "environments", "objects", "inputs", "bin", toolsDir, "pruned"}

// removeOurs takes away what we put on a machine, the claim last: when it is
// cut, the machine is still ours and it can be done again. What else lies in
// the directory, and a directory that holds more, stays.
func removeOurs(ctx context.Context, h host.Host) error {
	for _, name := range append(ours, claimName) {
		if err := h.RemoveAll(ctx, path.Join(h.Root(), name)); err != nil {
			return fmt.Errorf("remove %s from the machine: %w", name, err)
		}
	}
	left, err := h.ReadDir(ctx, h.Root())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("see what is left on the machine: %w", err)
	}
	if len(left) > 0 {
		return nil
	}
	// rmdir refuses what was filled meanwhile.
	if err := h.Run(ctx, host.Command{Argv: []string{"rmdir", "--", h.Root()}, Dir: "/"}); err != nil {
		return fmt.Errorf("remove our directory from the machine: %w", err)
	}
	return nil
}
