package runconfig

import "github.com/runnerml/runner/internal/yamlpos"

// Placed is a spec that knows where its fields stand.
type Placed struct {
	Config *ScriptRunConfig
	// Missing is what the spec names and is not there: the source directory,
	// the script.
	Missing  []Problem
	document *yamlpos.Document
}

// Place adds to problems that name a field where it stands: the file, line and
// column, or the assignment that set it; where it is not written down, those
// of what is around it.
func (p *Placed) Place(problems ...Problem) []Problem { return p.document.Place(problems) }
