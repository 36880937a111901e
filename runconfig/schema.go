package runconfig

import _ "embed"

//go:generate go test -run TestGenerated -count=1 . -args -update

//go:embed schema.json
var schema []byte

//go:embed reference.md
var reference string

// Schema is the JSON Schema (2020-12) of a spec, for editors and checks.
func Schema() []byte { return append([]byte(nil), schema...) }

// Reference is a description of every field of a spec, in Markdown.
func Reference() string { return reference }
