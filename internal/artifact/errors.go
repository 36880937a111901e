package artifact

import "fmt"

// NameError says that a name is not one that an artifact can have.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("artifact name %q is not a plain path below outputs/ or logs/", e.Name)
}

// LinkError says that a symbolic link leads out of outputs/ and logs/.
type LinkError struct{ Name, Target string }

func (e *LinkError) Error() string {
	return fmt.Sprintf("symbolic link %q leads out, to %q: not kept", e.Name, e.Target)
}

// KindError says that something is no file that can be read.
type KindError struct{ Name, Kind string }

func (e *KindError) Error() string {
	return fmt.Sprintf("artifact %q is a %s, not a file", e.Name, e.Kind)
}
