package runconfig

import "strings"

// InputKind is where an input comes from.
type InputKind string

// The kinds of inputs.
const (
	// InputLocal is a file or directory of the computer that submits.
	InputLocal InputKind = "local"
	// InputTarget is one of the target.
	InputTarget InputKind = "target"
	// InputRun is what another run left.
	InputRun InputKind = "run"
	// InputURL has an address: https://, or a place in Azure Blob Storage.
	InputURL InputKind = "url"
)

const (
	targetPrefix = "target:"
	runPrefix    = "run:"
)

// Kind says where the input comes from.
func (i Input) Kind() InputKind {
	switch {
	case strings.HasPrefix(i.Path, targetPrefix):
		return InputTarget
	case strings.HasPrefix(i.Path, runPrefix):
		return InputRun
	case strings.Contains(i.Path, "://"):
		return InputURL
	default:
		return InputLocal
	}
}

// TargetPath is the path on the target of an InputTarget.
func (i Input) TargetPath() string { return strings.TrimPrefix(i.Path, targetPrefix) }

// OfRun is the run of an InputRun, as it was written, and the path of what it
// left, which begins with "outputs" or "logs".
func (i Input) OfRun() (run, path string) {
	run, path, _ = strings.Cut(strings.TrimPrefix(i.Path, runPrefix), "/")
	return run, path
}

// WithRun is an InputRun that names its run so.
func (i Input) WithRun(run string) Input {
	_, path := i.OfRun()
	i.Path = runPrefix + run + "/" + path
	return i
}
