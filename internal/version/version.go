// Package version says which build this is.
package version

import "runtime/debug"

// Version is set by the linker (see the Makefile).
var Version = "dev"

// String is the version, and the toolchain that built it.
func String() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return Version + " (" + info.GoVersion + ")"
	}
	return Version
}
