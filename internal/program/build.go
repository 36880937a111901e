package program

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// version is set by the linker for releases.
var version = "" //nolint:gochecknoglobals // -ldflags -X wants a variable

// Build says which build of this program one is.
type Build struct {
	// Version is a release's name, or what Go knows of it; "devel": nothing.
	Version string `json:"version"`
	// Commit begins the digest of the commit that it was built from; empty: it
	// is not known.
	Commit string `json:"commit"`
	// Modified: there were changes that are not in the commit.
	Modified bool `json:"modified"`
	// Go is the version of Go that built it.
	Go string `json:"go"`
	// Platform it was built for, "linux/amd64".
	Platform string `json:"platform"`
}

// Own is the build of the program that runs.
func Own() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	b := buildOf(info)
	b.Version = cmp.Or(version, b.Version)
	b.Go, b.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
	return b
}

const (
	devel       = "devel"
	commitShown = 12
)

// buildOf reads what Go wrote into a program. The name that a linker gave its
// version is not there.
func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Go: info.GoVersion}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = devel
	}
	var system, arch string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(commitShown, len(s.Value))]
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "GOOS":
			system = s.Value
		case "GOARCH":
			arch = s.Value
		}
	}
	b.Platform = system + "/" + arch
	return b
}

// Source tells in words what it was built from: the commit, empty when that is
// not known.
func (b Build) Source() string {
	if b.Commit != "" && b.Modified {
		return b.Commit + " with changes"
	}
	return b.Commit
}

// String is the version and what it was built from.
func (b Build) String() string {
	if s := b.Source(); s != "" {
		return b.Version + " (" + s + ")"
	}
	return b.Version
}

// sameSource reports whether two were built from the same commit, as far as
// that is known of both.
func (b Build) sameSource(other Build) bool {
	return b.Commit == "" || other.Commit == "" || b.Commit == other.Commit && b.Modified == other.Modified
}

// same reports whether two are the same program, for whatever platforms.
func (b Build) same(other Build) bool { return b.Version == other.Version && b.sameSource(other) }
