package artifact

import (
	"errors"
	"fmt"
)

// ErrChanged is a file that changed while it was stored.
var ErrChanged = errors.New("it changed while it was stored")

// ErrCorrupt is a file whose content is not that of its digest.
var ErrCorrupt = errors.New("what came is not what was sent: its SHA-256 differs")

// NameError says that a name is not one that an artifact can have.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("artifact name %q is not a plain path below outputs/, logs/ or checkpoint/", e.Name)
}

// LinkError says that a symbolic link leads out of its folder.
type LinkError struct{ Name, Target string }

func (e *LinkError) Error() string {
	return fmt.Sprintf("symbolic link %q leads out, to %q: not kept", e.Name, e.Target)
}

// KindError says that something is no file that can be read.
type KindError struct{ Name, Kind string }

func (e *KindError) Error() string {
	return fmt.Sprintf("artifact %q is a %s, not a file", e.Name, e.Kind)
}

// UnavailableError is a store that cannot be asked, or written to, now. Asking
// again can help.
type UnavailableError struct {
	// Store as its users know it.
	Store string
	// Lasting says that waiting alone does not help; Advice, what does.
	Lasting bool
	Advice  string
	Err     error
}

// Hint says what a person can do, or nothing.
func (e *UnavailableError) Hint() string { return e.Advice }

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the artifact store %s cannot be used now: %v", e.Store, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }
