package runconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/yamlpos"
)

// Outputs says what becomes of what the script leaves in outputs/ and logs/. Every
// name in it that is none of its own fields is a named output.
type Outputs struct {
	// Store is the artifact store where outputs, logs and checkpoints end, by its
	// name in the installation's settings; home is RUNNER_HOME. Default: as the
	// settings say, else home.
	Store string `json:"store,omitempty" yaml:"store,omitempty"`
	// Upload is end (when the attempt has ended) or live: what changed in
	// outputs/, logs/ and the checkpoint directory goes to the store while the
	// script runs, too, so that little is lost with a machine. Default end.
	Upload string `json:"upload,omitempty" jsonschema:"enum=end,enum=live" yaml:"upload,omitempty"`
	// Every is how often that is, with upload: live. Default 60s, at least 5s.
	Every Duration `json:"every,omitempty" yaml:"every,omitempty"`
	// Named are directories that the script fills, by name. It finds the path of
	// each in RUNNER_OUTPUT_<NAME>, and a command in ${{outputs.NAME}}.
	Named map[string]Output `json:"-" yaml:"-"`
}

// Output is a directory that the script fills and that is uploaded when the run
// has ended.
type Output struct {
	// Path in Azure Blob Storage where its files end:
	// azblob://ACCOUNT/CONTAINER/PREFIX, or as abfss://, wasbs:// or https:// write
	// it.
	Path string `json:"path,omitempty" jsonschema:"required" yaml:"path,omitempty"`
	// Mode is upload: at the end of the run.
	Mode string `json:"mode,omitempty" jsonschema:"enum=upload" yaml:"mode,omitempty"`
	// When is completed (the run must have ended so) or always: of a run that
	// failed or was canceled, too. Default completed.
	When string `json:"when,omitempty" jsonschema:"enum=completed,enum=always" yaml:"when,omitempty"`
}

// The values of an Output's fields.
const (
	ModeUpload    = "upload"
	WhenCompleted = "completed"
	WhenAlways    = "always"
)

// IsZero says that nothing is said.
func (o Outputs) IsZero() bool { return reflect.ValueOf(o).IsZero() }

// OutputDirectory is where a named output is, relative to the working directory.
func OutputDirectory(name string) string { return path.Join("outputs", name) }

// OutputKey is the key of a named output's path among those that CommandLine is
// given. No input has such a name.
func OutputKey(name string) string { return "outputs." + name }

// own are the fields of Outputs, without its methods.
type own Outputs

// ownNames are the names that no named output can have.
func ownNames() []string {
	var names []string
	t := reflect.TypeFor[own]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// UnmarshalYAML takes the fields and the named outputs apart.
func (o *Outputs) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return &yamlpos.Error{Problems: []yamlpos.Problem{{
			Line: n.Line, Column: n.Column, Message: "outputs must be a mapping", Hint: "write outputs: {NAME: {path: ...}}",
		}}}
	}
	fields, named := *n, *n
	fields.Content, named.Content = nil, nil
	mine := ownNames()
	for i := 0; i+1 < len(n.Content); i += 2 {
		to := &named
		if slices.Contains(mine, n.Content[i].Value) {
			to = &fields
		}
		to.Content = append(to.Content, n.Content[i], n.Content[i+1])
	}
	var problems []yamlpos.Problem
	for _, part := range []struct {
		from *yaml.Node
		into any
	}{{&fields, (*own)(o)}, {&named, &o.Named}} {
		if err := yamlpos.DecodeNode(part.from, part.into); err != nil {
			inner, ok := errors.AsType[*yamlpos.Error](err)
			if !ok {
				return err
			}
			problems = append(problems, inner.Problems...)
		}
	}
	if len(named.Content) == 0 {
		o.Named = nil
	}
	return yamlpos.ErrorOf(problems)
}

// MarshalJSON is the form that a spec has: named outputs beside the fields.
func (o Outputs) MarshalJSON() ([]byte, error) {
	all := map[string]json.RawMessage{}
	raw, err := json.Marshal(own(o))
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		return nil, err
	}
	for name, output := range o.Named {
		if all[name], err = json.Marshal(output); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON wrote. Unknown fields are errors of the
// named output that they would be.
func (o *Outputs) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	if err := json.Unmarshal(data, (*own)(o)); err != nil {
		return err
	}
	for _, name := range ownNames() {
		delete(all, name)
	}
	for name, raw := range all {
		var output Output
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&output); err != nil {
			return fmt.Errorf("outputs.%s: %w", name, err)
		}
		if o.Named == nil {
			o.Named = map[string]Output{}
		}
		o.Named[name] = output
	}
	return nil
}

func (o *Outputs) fill() {
	for name, output := range o.Named {
		if output.Mode == "" {
			output.Mode = ModeUpload
		}
		if output.When == "" {
			output.When = WhenCompleted
		}
		o.Named[name] = output
	}
}

func (v *checks) namedOutputs(c *ScriptRunConfig) {
	upper := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Outputs.Named)) {
		field, output := yamlpos.Join("outputs", name), c.Outputs.Named[name]
		if !environment.IsVariableName(name) {
			v.addf(field, "use letters, digits and underscores: the script finds it as RUNNER_OUTPUT_<NAME>", "%q is no name for an output", name)
		}
		if other, taken := upper[strings.ToUpper(name)]; taken {
			v.addf(field, "the script finds both as RUNNER_OUTPUT_"+strings.ToUpper(name), "the outputs %s and %s differ only in case", other, name)
		}
		upper[strings.ToUpper(name)] = name
		v.outputPath(field, output.Path)
		if output.Mode != "" && output.Mode != ModeUpload {
			v.addf(yamlpos.Join(field, "mode"), "outputs are uploaded when the run has ended: mode: upload", "unknown mode %q", output.Mode)
		}
		whens := []string{WhenCompleted, WhenAlways}
		if output.When != "" && !slices.Contains(whens, output.When) {
			v.addf(yamlpos.Join(field, "when"), yamlpos.DidYouMean(output.When, whens), "%q is no time to upload", output.When)
		}
	}
}

func (v *checks) outputPath(field, value string) {
	schemes := []string{"azblob", "https", "abfss", "wasbs"}
	scheme, rest, isURL := strings.Cut(value, "://")
	at := yamlpos.Join(field, "path")
	switch {
	case value == "":
		v.addf(field, "path: azblob://ACCOUNT/CONTAINER/PREFIX", "%s has no path", field)
	case !isURL:
		v.addf(at, "path: azblob://ACCOUNT/CONTAINER/PREFIX; what is in outputs/ comes home by itself", "an output ends in Azure Blob Storage, not in a directory")
	case !slices.Contains(schemes, scheme):
		v.addf(at, yamlpos.DidYouMean(scheme, schemes), "outputs to %s:// are not known", scheme)
	case rest == "":
		v.addf(at, "", "%q is no address", value)
	case hasSignature(value):
		v.signature(at)
	}
}
