package supervise

import (
	"errors"
	"os"
	"path/filepath"
)

// takeOver makes room for a process that is started again (Launch.Again): what
// was said of its end is no longer true, and the time of its start stays. A
// directory where nothing was started is as good as new.
func (s *supervisor) takeOver() error {
	if !s.launch.Again {
		return nil
	}
	var before Status
	if err := readStarted(s.dir, &before); err == nil {
		s.first = before.StartedAt
	}
	if err := os.Remove(filepath.Join(s.dir, endedFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
