package environment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// FieldError is what is wrong with what one field of a spec names.
type FieldError struct {
	// Field is the path of the field in the spec, such as "python.requirements".
	Field string
	// Err is what is wrong.
	Err error
}

func (e *FieldError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

func inField(field string, err error) error { return &FieldError{Field: field, Err: err} }

// missingFile puts words to the error of a file that is not there: named is
// how a spec or another file names it, path is where it was looked for. An
// error about any other file stays as it is.
func missingFile(what, path, named string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), ": "+path) {
		return err
	}
	return &notThereError{what: what, name: filepath.ToSlash(named), cause: err}
}

// notThereError is a file that is named and not there.
type notThereError struct {
	what, name string
	cause      error
}

func (e *notThereError) Error() string { return fmt.Sprintf("%s %s does not exist", e.what, e.name) }

// Is says which kind of error it is; the path in the cause is not passed on,
// as the message has the name that was written.
func (e *notThereError) Is(target error) bool { return errors.Is(e.cause, target) }
