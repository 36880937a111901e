package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// unmountBelow takes away what is mounted at or below dir, deepest first.
func unmountBelow(dir string) error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, os.ErrNotExist) { // no Linux, nothing that this package could have mounted
		return nil
	}
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(raw)) {
		// The fifth field is the mount point, with blanks written as octal escapes.
		if fields := strings.Fields(line); len(fields) > 4 {
			if point := strings.ReplaceAll(fields[4], `\040`, " "); isBelow(point, dir) {
				points = append(points, point)
			}
		}
	}
	var problems []error
	for i := len(points) - 1; i >= 0; i-- {
		_, err := output(exec.Command("umount", "--lazy", points[i]))
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// removeTree removes a directory, or a file, after unmounting what is mounted in it: never through a mount into
// something else.
func removeTree(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}
