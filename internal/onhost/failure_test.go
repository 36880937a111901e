package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

// An error keeps its meaning on its way between two systems, whose numbers
// differ: only names go over the line.
func TestFailure(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		wire string
		is   error
	}{
		{"full disk", fmt.Errorf("write: %w", syscall.ENOSPC), `{"message":"write: no space left on device","errno":"ENOSPC"}`, syscall.ENOSPC},
		{"not empty", syscall.ENOTEMPTY, `{"message":"directory not empty","errno":"ENOTEMPTY"}`, syscall.ENOTEMPTY},
		{"not there", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, `{"message":"open x: no such file or directory","errno":"ENOENT"}`, fs.ErrNotExist},
		{"no error of the system", errors.New("odd"), `{"message":"odd"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload, err := json.Marshal(failureOf(c.err))
			if err != nil || string(payload) != c.wire {
				t.Errorf("on its way %s, not %s; %v", payload, c.wire, err)
			}
			got := decodeFailure(payload)
			if c.is != nil && !errors.Is(got, c.is) {
				t.Errorf("%v is not %v", got, c.is)
			}
			if failed, ok := errors.AsType[*HostError](got); !ok || (failed.errno == 0) != (c.is == nil) {
				t.Errorf("arrived as %#v", got)
			}
		})
	}
	// One that this system does not have is still an error with its words.
	if err := decodeFailure([]byte(`{"message":"away","errno":"ENOTHERE"}`)); err.Error() != "away" || errors.Unwrap(err) != nil {
		t.Errorf("%#v", err)
	}
}
