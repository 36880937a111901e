package compute

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Reference says where a secret is: "env:NAME", "file:PATH", "secret:NAME" for
// one that is stored, "given" for a value that is kept sealed with the target,
// or "none". It is no secret itself.
type Reference string

const (
	// Given is the reference of a value that was typed in.
	Given Reference = "given"
	// None is the reference of a secret that a person said there is not.
	None Reference = "none"
)

const (
	envPrefix    = "env:"
	filePrefix   = "file:"
	storedPrefix = "secret:"
	// maxSecret is how long a secret in a file may be, in bytes.
	maxSecret = 64 << 10
)

var envForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ReferenceError is a text that is no reference, or a reference to nothing.
// It never holds a secret: a value given in place of a reference is not told.
type ReferenceError struct {
	What string
	Hint string
}

func (e *ReferenceError) Error() string { return e.What }

// ParseReference reads what a user wrote. A path is made absolute.
func ParseReference(text string) (Reference, error) {
	if name, ok := strings.CutPrefix(text, envPrefix); ok {
		if !envForm.MatchString(name) {
			return "", &ReferenceError{What: "env: must be followed by the name of a variable"}
		}
		return Reference(text), nil
	}
	if path, ok := strings.CutPrefix(text, filePrefix); ok && path != "" {
		if rest, ok := strings.CutPrefix(path, "~/"); ok { // no shell expands it there
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("path of a secret: %w", err)
			}
			path = filepath.Join(home, rest)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", fmt.Errorf("path of a secret: %w", err)
		}
		return Reference(filePrefix + abs), nil
	}
	if name, ok := strings.CutPrefix(text, storedPrefix); ok {
		if err := CheckSecretName(name); err != nil {
			return "", err
		}
		return Reference(text), nil
	}
	return "", &ReferenceError{
		What: "a secret is never given itself, but where it is",
		Hint: "write env:NAME for a variable, file:PATH for a file of mode 0600, or secret:NAME for one of runner secret set",
	}
}

// maxSecretName is how long the name of a stored secret may be, in bytes.
const maxSecretName = 128

var secretNameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// CheckSecretName says what is wrong with the name of a stored secret. What it
// was is not repeated: it may be the secret.
func CheckSecretName(name string) error {
	if len(name) > maxSecretName || !secretNameForm.MatchString(name) {
		return &ReferenceError{
			What: fmt.Sprintf("a secret is named by letters, digits, _ . and -, at most %d", maxSecretName),
		}
	}
	return nil
}

// Env is the variable's name of an env: reference.
func (r Reference) Env() (name string, ok bool) { return strings.CutPrefix(string(r), envPrefix) }

// Stored is the name of a secret: reference.
func (r Reference) Stored() (name string, ok bool) {
	return strings.CutPrefix(string(r), storedPrefix)
}

// Read gives the secret; it cannot give a stored one. given is the value that is kept sealed, if any: for a
// variable it is what the variable held when the target was attached, and
// counts where we do not have the variable.
func (r Reference) Read(given string, lookup func(string) (string, bool)) (string, error) {
	if name, ok := r.Env(); ok {
		if value, ok := lookup(name); ok && value != "" {
			return value, nil
		}
		if given != "" {
			return given, nil
		}
		return "", &ReferenceError{What: fmt.Sprintf("the variable %s is not set", name), Hint: "set it for the agent, or attach the target again"}
	}
	if path, ok := strings.CutPrefix(string(r), filePrefix); ok {
		return readSecret(path)
	}
	if given == "" {
		return "", &ReferenceError{What: "a secret that was given is not there any more", Hint: "attach the target again"}
	}
	return given, nil
}

// othersMay are the permission bits that a file with a secret must not have.
const othersMay = 0o077

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecret {
		return "", &ReferenceError{What: "this is no file with a secret: " + path}
	}
	if info.Mode().Perm()&othersMay != 0 {
		return "", &ReferenceError{
			What: fmt.Sprintf("others may read the secret in %s (mode %04o)", path, info.Mode().Perm()), Hint: "chmod 600 " + path,
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		return "", &ReferenceError{What: "the file of a secret is empty: " + path, Hint: "write the secret into it"}
	}
	return string(data), nil
}

// unreadable says why, without the path twice.
func unreadable(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &ReferenceError{
		What: fmt.Sprintf("the file of a secret cannot be read: %s: %v", path, err),
		Hint: "write the secret there, in a file of mode 0600 that belongs to whoever runs the agent",
	}
}
