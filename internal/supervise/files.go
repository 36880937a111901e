package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The files of a supervised directory.
const (
	lockFile    = "lock"
	startedFile = "started.json"
	endedFile   = "ended.json"
	stopFile    = "stop.json"
	// LogFile is where the output of a supervised process is, in its directory.
	LogFile   = "std_log.txt"
	indexFile = "std_log.idx"
	// spareFile is room on the disk for ended.json, so that a full disk does
	// not hide how a process ended.
	spareFile = ".spare"
)

// maxState is how large a state file may be; ours are far below.
const maxState = 64 << 10

// started is what started.json holds.
type started struct {
	Mark       string    `json:"mark"`
	PID        int       `json:"pid"`
	Supervisor int       `json:"supervisor"`
	BootID     string    `json:"boot_id,omitempty"`
	Node       string    `json:"node,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	// Message holds limits that cannot be kept here.
	Message string `json:"message,omitempty"`
}

// ended is what ended.json holds.
type ended struct {
	EndedAt    time.Time `json:"ended_at"`
	Cause      Cause     `json:"cause"`
	ExitCode   int       `json:"exit_code"`
	Signal     string    `json:"signal,omitempty"`
	Message    string    `json:"message,omitempty"`
	Terminated bool      `json:"terminated,omitempty"`
	LogDropped int64     `json:"log_dropped,omitempty"`
}

// wish is what stop.json holds.
type wish struct {
	Grace time.Duration `json:"grace"`
	At    time.Time     `json:"at"`
}

// errDamaged is a state file that makes no sense.
var errDamaged = errors.New("damaged")

// readState reads a state file. A file that is not there is os.ErrNotExist, one
// that makes no sense errDamaged; other errors are the system's.
func readState(dir, name string, into any) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxState {
		return fmt.Errorf("%s is %w: it is not a file of ours", name, errDamaged)
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err != nil && n < len(data) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(data[:n], into); err != nil {
		return fmt.Errorf("%s is %w: %w", name, errDamaged, err)
	}
	return nil
}

// writeState stores a state file whole or not at all, through temp.
func writeState(dir, name, temp string, state any) (err error) {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, temp)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	// In place first, cut afterwards: blocks that spare() reserved are kept.
	_, werr := f.WriteAt(append(data, '\n'), 0)
	if err := errors.Join(werr, f.Truncate(int64(len(data)+1)), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// spareSize is the room that is reserved for ended.json.
const spareSize = 4096

// reserve makes the room for ended.json.
func reserve(dir string) error {
	return os.WriteFile(filepath.Join(dir, spareFile), make([]byte, spareSize), 0o600)
}

// maxMessage keeps a message within the reserved room.
const maxMessage = 2048

func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return message[:maxMessage] + "..."
}
