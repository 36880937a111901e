package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/datafetch"
)

// failure is an error of a verb on its way to whoever asked.
type failure struct {
	Message string `json:"message"`
	// Errno of the system, so that a full disk is known as one: its name, as
	// systems do not agree on the numbers.
	Errno string `json:"errno,omitempty"`
	// Hint and Data are of data that could not be read.
	Hint string      `json:"hint,omitempty"`
	Data DataTrouble `json:"data,omitempty"`
	// Owned: the root belongs to another installation.
	Owned bool `json:"owned,omitempty"`
}

// DataTrouble is why data could not be read, where that decides what is done
// next.
type DataTrouble string

// The troubles.
const (
	// Away: the machine cannot reach the store.
	Away DataTrouble = "away"
	// Changed: it is not what was looked at.
	Changed DataTrouble = "changed"
	// Expired: the right to read it has run out.
	Expired DataTrouble = "expired"
)

// TroubleOf says what kind of trouble with data an error is, here or on a host;
// empty: another.
func TroubleOf(err error) DataTrouble {
	if e, ok := errors.AsType[*HostError](err); ok {
		return e.data
	}
	switch {
	case datafetch.Unreachable(err):
		return Away
	case datafetch.HasChanged(err):
		return Changed
	case datafetch.HasExpired(err):
		return Expired
	}
	return ""
}

// Owned says of an error that the root belongs to another installation.
func Owned(err error) bool {
	e, ok := errors.AsType[*HostError](err)
	return ok && e.owned
}

// HintOf an error about data, here or on a host; or nothing.
func HintOf(err error) string {
	if e, ok := errors.AsType[*HostError](err); ok {
		return e.hint
	}
	return datafetch.HintOf(err)
}

func failureOf(err error) failure {
	f := failure{Message: err.Error(), Hint: datafetch.HintOf(err), Data: TroubleOf(err)}
	_, f.Owned = errors.AsType[*OwnerError](err)
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		f.Errno = unix.ErrnoName(no)
	}
	return f
}

func decodeFailure(payload []byte) error {
	var f failure
	if err := json.Unmarshal(payload, &f); err != nil {
		return fmt.Errorf("what failed on the host: %w", err)
	}
	return &HostError{Message: f.Message, errno: errnoOf(f.Errno), hint: f.Hint, data: f.Data, owned: f.Owned}
}

// errnoOf is the error of this system with a name; zero: it has none such.
func errnoOf(name string) syscall.Errno {
	const most = 256 // no system has as many
	for no := syscall.Errno(1); name != "" && no < most; no++ {
		if unix.ErrnoName(no) == name {
			return no
		}
	}
	return 0
}

// HostError is what went wrong on the machine itself.
type HostError struct {
	Message string
	errno   syscall.Errno
	hint    string
	data    DataTrouble
	owned   bool
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
