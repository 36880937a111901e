// Package runconfig holds what a user asks for: ScriptRunConfig, one
// description of a training run, in Azure ML's own words.
//
// Load reads it from YAML or JSON, applies assignments from the command line
// (--set), fills defaults and checks everything at once: a *SpecError lists
// each mistake with file, line, column, the field and, for a misspelt name,
// the nearest right one. The result is self-contained: paths are absolute and
// defaults written out, so that marshalling and loading it again gives the
// same. Schema and Reference describe the fields for editors and people; both
// are made from the Go types and their comments by go generate.
package runconfig
