package runconfig

import _ "embed"

//go:generate go test -run TestGenerated -count=1 . -args -update

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of a spec, for editors and checks.
func Schema() []byte { return append([]byte(nil), schema...) }
