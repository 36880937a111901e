package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// failure is an error of a verb on its way to whoever asked.
type failure struct {
	Message string `json:"message"`
	// Errno of the system, so that a full disk is known as one.
	Errno int `json:"errno,omitempty"`
}

func failureOf(err error) failure {
	f := failure{Message: err.Error()}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		f.Errno = int(no)
	}
	return f
}

func decodeFailure(payload []byte) error {
	var f failure
	if err := json.Unmarshal(payload, &f); err != nil {
		return fmt.Errorf("what failed on the host: %w", err)
	}
	return &HostError{Message: f.Message, errno: syscall.Errno(f.Errno)}
}

// HostError is what went wrong on the machine itself.
type HostError struct {
	Message string
	errno   syscall.Errno
}

func (e *HostError) Error() string { return e.Message }

// Unwrap gives the system's own error there, when it was one.
func (e *HostError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// Is knows the errors that fs names.
func (e *HostError) Is(target error) bool {
	return e.errno != 0 && (target == fs.ErrNotExist || target == fs.ErrPermission || target == fs.ErrExist) && e.errno.Is(target)
}
