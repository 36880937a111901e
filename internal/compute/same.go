package compute

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
)

// SameMachineError is a machine that is attached already, under whatever
// spelling of its address.
type SameMachineError struct {
	// Name of the target that it is.
	Name string
}

func (e *SameMachineError) Error() string {
	if e.Name == LocalName {
		return "this is the computer that the agent runs on"
	}
	return fmt.Sprintf("this machine is attached already, as %q", e.Name)
}

// Hint says what a person can do.
func (e *SameMachineError) Hint() string {
	if e.Name == LocalName {
		return "it is always there as the target local"
	}
	return "use that name, or detach it first: runner compute detach " + e.Name
}

// Known is a target that a machine is compared with.
type Known struct{ Name, MachineID, HostKey string }

// Same finds the target that is the same machine; nil: none is. An id or key
// that is not known is like no other.
func Same(machineID, hostKey string, known []Known) error {
	for _, k := range known {
		if machineID != "" && machineID == k.MachineID || hostKey != "" && hostKey == k.HostKey {
			return &SameMachineError{Name: k.Name}
		}
	}
	return nil
}

// machineIDFiles hold what tells machines apart.
var machineIDFiles = []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}

// AskAtLogin are the files that tell which machine one has logged in to, and
// whose it is: sshhost.Config.Ask of a Connection.
func AskAtLogin() []string { return append([]string{claimName}, machineIDFiles...) }

const maxMachineID = 256

// machineIDOf tells a machine apart from others: a digest of its machine-id,
// which itself should stay on the machine (see machine-id(5)). Empty: it has
// none.
func machineIDOf(g sshhost.Greeting) string {
	for _, file := range machineIDFiles {
		if id := machineIDIn(g.Files[file].Content); id != "" {
			return id
		}
	}
	return ""
}

func machineIDIn(text string) string {
	id := strings.TrimSpace(text)
	if len(id) != 32 { // an image that is not set up yet has "uninitialized"
		return ""
	}
	sum := sha256.Sum256([]byte("runner machine " + id))
	return hex.EncodeToString(sum[:16])
}

// MachineID is the same of a machine that is asked now.
func MachineID(ctx context.Context, h host.Host) (string, error) {
	for _, file := range machineIDFiles {
		f, err := h.Open(ctx, file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read the machine's id: %w", err)
		}
		data, err := io.ReadAll(io.LimitReader(f, maxMachineID))
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("read the machine's id: %w", err)
		}
		if id := machineIDIn(string(data)); id != "" {
			return id, nil
		}
	}
	return "", nil
}
