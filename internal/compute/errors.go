package compute

import (
	"errors"

	"github.com/runnerml/runner/backends"
)

// ReachError is a machine that we could not log in to.
type ReachError struct {
	// Name of the target.
	Name string
	// Temporary: trying again may help.
	Temporary bool
	// Advice says what a person can do; may be empty.
	Advice string
	Err    error
}

func (e *ReachError) Error() string { return e.Err.Error() }

func (e *ReachError) Unwrap() error { return e.Err }

// Hint says what a person can do.
func (e *ReachError) Hint() string { return e.Advice }

// UnknownHostKeyError is a machine whose key nobody has confirmed yet.
type UnknownHostKeyError struct {
	// Host is the machine that showed it: the target, or one on the way to it.
	Host string `json:"host"`
	// Type and Fingerprint of the key: "ssh-ed25519", "SHA256:...".
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
	// Jump: it is only on the way.
	Jump bool `json:"jump,omitempty"`
}

func (e *UnknownHostKeyError) Error() string {
	return "the host key of " + e.Host + " is not known: " + e.Type + " " + e.Fingerprint
}

// Hint says what a person can do.
func (e *UnknownHostKeyError) Hint() string {
	compare := "compare it with the one that the machine's owner tells, then "
	if e.Jump { // --host-key is that of the target
		return compare + "log in to it once with ssh, which adds it to the known hosts"
	}
	return compare + "give --host-key " + e.Fingerprint
}

// IsTemporary reports whether reaching a machine again may help where err came.
func IsTemporary(err error) bool {
	if r, ok := errors.AsType[*ReachError](err); ok {
		return r.Temporary
	}
	return backends.IsTemporary(err)
}
