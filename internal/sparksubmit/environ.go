package sparksubmit

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// environFile holds the surroundings that an application was submitted in: whose
// it is, and where the cluster's programs are. Secrets are left out.
const environFile = "environ"

// keepEnviron keeps our surroundings for those who come after us.
func (l *launcher) keepEnviron() error {
	var b bytes.Buffer
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(l.plan.Secrets, name) {
			b.WriteString(variable + "\x00")
		}
	}
	const readable = 0o600
	return os.WriteFile(l.file(environFile), b.Bytes(), readable)
}

// takeEnviron takes those surroundings over; of an attempt that never began there
// are none.
func takeEnviron(file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for variable := range strings.SplitSeq(string(data), "\x00") {
		if name, value, ok := strings.Cut(variable, "="); ok && name != "" {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
