package compute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// ours are the names in our directory on a machine that we make: attempts and
// checkpoints, environments, pictures of sources and working copies of them,
// inputs, notes of images that we pulled, the supervisor's program, tools that
// attaching was asked to bring, and when it was pruned.
var ours = []string{"runs", "environments", "objects", "copies", "inputs", "images", "bin", toolsDir, "pruned"}

// removeOurs takes away what we put on a machine, the claim last: when it is
// cut, the machine is still ours and it can be done again. What else lies in
// the directory, and a directory that holds more, stays.
func removeOurs(ctx context.Context, h host.Host, installation string) error {
	there, err := h.ReadDir(ctx, h.Root())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("see what is on the machine: %w", err)
	}
	left := false
	for _, e := range there {
		name := e.Name()
		if name == claimName {
			continue
		}
		if !slices.Contains(ours, name) && !strings.HasPrefix(name, host.Unfinished) && !strings.HasPrefix(name, halfClaims(installation)) {
			left = true
			continue
		}
		if err := h.RemoveAll(ctx, path.Join(h.Root(), name)); err != nil {
			return fmt.Errorf("remove %s from the machine: %w", name, err)
		}
	}
	if err := h.RemoveAll(ctx, claimPath(h)); err != nil {
		return fmt.Errorf("remove %s from the machine: %w", claimName, err)
	}
	if left {
		return nil
	}
	// rmdir refuses what somebody else filled meanwhile: it is theirs.
	if err := h.Run(ctx, host.Command{Argv: []string{"rmdir", "--", h.Root()}, Dir: "/"}); err != nil {
		if more, readErr := h.ReadDir(ctx, h.Root()); readErr == nil && len(more) > 0 {
			return nil
		}
		return fmt.Errorf("remove our directory from the machine: %w", err)
	}
	return nil
}
