package program

import (
	"fmt"
	"path/filepath"
	"strings"
)

// MissingError is a machine of a kind for which there is no program here.
type MissingError struct {
	// Platform of the machine, and Own of the program that runs.
	Platform, Own string
	// Looked are the files that it could have been.
	Looked []string
}

func (e *MissingError) Error() string {
	said := fmt.Sprintf("the machine is %s, this runner is for %s, and there is no runner for %s", e.Platform, e.Own, e.Platform)
	if len(e.Looked) > 0 {
		said += " (looked for " + strings.Join(e.Looked, ", ") + ")"
	}
	return said
}

// Hint says what a person can do.
func (e *MissingError) Hint() string {
	hint := howToBuild(e.Platform, Own())
	if len(e.Looked) > 0 {
		hint += "; put it into " + filepath.Dir(e.Looked[0])
		if last := e.Looked[len(e.Looked)-1]; last != e.Looked[0] {
			hint += " or " + filepath.Dir(last)
		}
		hint += ","
	} else {
		hint += ";"
	}
	return hint + " or name it in config.yaml: programs: {" + e.Platform + ": PATH}"
}

// WrongError is a file that should be this program for a platform, and is not.
type WrongError struct {
	Path, Platform string
	// What is wrong, in words.
	What string
	// Build that it must be of.
	Build Build
}

func (e *WrongError) Error() string {
	return fmt.Sprintf("%s cannot be used as the runner for %s: %s", e.Path, e.Platform, e.What)
}

// Hint says what a person can do.
func (e *WrongError) Hint() string {
	return howToBuild(e.Platform, e.Build) + "; put it there in its place"
}

// howToBuild names the command, which is given the platform where it builds
// others by itself.
func howToBuild(platform string, b Build) string {
	command := "make cross"
	switch platform {
	case "linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64":
	default:
		command += " CROSS=" + platform
	}
	return fmt.Sprintf("in the source of %s, %s makes bin/%s", b, command, FileName(platform))
}
