package runconfig_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/runconfig"
)

var update = flag.Bool("update", false, "write schema.json and docs/spec.md anew")

// TestGenerated holds the generator of schema.json and docs/spec.md: both are
// made from the Go types and their comments, and must be up to date.
func TestGenerated(t *testing.T) {
	schema := describeSpec(t)
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"schema.json": append(data, '\n'), "../docs/spec.md": reference(schema)} {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date, run go generate ./runconfig:\n%s", name, cmp.Diff(string(got), string(want)))
		}
	}
}

// condaForm is how a conda environment may be written inline.
type condaForm struct {
	Name         string   `yaml:"name,omitempty"`
	Channels     []string `yaml:"channels,omitempty"`
	Dependencies []any    `jsonschema:"required"     yaml:"dependencies,omitempty"`
	Pip          []string `yaml:"pip,omitempty"`
}

func describeSpec(t *testing.T) *jsonschema.Schema {
	t.Helper()
	reflector := jsonschema.Reflector{
		Anonymous: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "yaml", Mapper: unions,
	}
	for _, directory := range []string{"./", "../environment"} {
		if err := reflector.AddGoComments("github.com/runnerml/runner/runconfig", directory, jsonschema.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}
	comments := reflector.CommentMap
	for key, comment := range comments {
		comments[key] = inUsersWords(strings.Join(strings.Fields(comment), " "))
	}
	root := reflector.Reflect(&runconfig.ScriptRunConfig{})
	for name, part := range map[string]any{"Environment": &environment.Spec{}, "Conda": &condaForm{}, "Output": &runconfig.Output{}} {
		described := reflector.Reflect(part)
		for inner, definition := range described.Definitions {
			switch inner {
			case "Spec":
				inner = name
			case "condaForm":
				inner = name
				definition.Description = comments["github.com/runnerml/runner/environment.Conda"]
				for pair := definition.Properties.Oldest(); pair != nil; pair = pair.Next() {
					field := map[string]string{"channels": "Channels", "dependencies": "Dependencies", "pip": "Pip"}[pair.Key]
					pair.Value.Description = comments["github.com/runnerml/runner/environment.Conda."+field]
				}
				dependencies, _ := definition.Properties.Get("dependencies")
				dependencies.Items = condaDependency()
				names, _ := definition.Properties.Get("name")
				names.Description = "Name as in conda's own files; it means nothing here."
			}
			root.Definitions[inner] = definition
		}
	}
	root.Definitions["Outputs"].AdditionalProperties = &jsonschema.Schema{Ref: "#/$defs/Output"}
	for _, definition := range root.Definitions {
		if definition.Properties == nil {
			continue
		}
		for pair := definition.Properties.Oldest(); pair != nil; pair = pair.Next() {
			loosen(pair.Key, pair.Value)
		}
	}
	spec := root.Definitions["ScriptRunConfig"]
	spec.OneOf = []*jsonschema.Schema{{Required: []string{"script"}}, {Required: []string{"command"}}}
	root.Title = "Runner spec"
	return root
}

// inUsersWords replaces the names of Go fields by those of the spec.
func inUsersWords(comment string) string {
	for _, part := range []any{
		runconfig.ScriptRunConfig{},
		runconfig.Distributed{},
		environment.Python{},
		environment.Docker{},
	} {
		fields := reflect.TypeOf(part)
		for i := range fields.NumField() {
			name, _, _ := strings.Cut(fields.Field(i).Tag.Get("yaml"), ",")
			if strings.Contains(name, "_") {
				comment = regexp.MustCompile(`(Python\.)?\b`+fields.Field(i).Name+`\b`).ReplaceAllString(comment, name)
			}
		}
	}
	return comment
}

// unions describes the types that may be written in several ways.
func unions(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[runconfig.Bytes]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "1"},
			{Type: "string", Pattern: `^\s*[0-9.]+\s*([kKmMgGtTpP]?[iI]?[bB]?)\s*$`},
		}}
	case reflect.TypeFor[runconfig.Duration]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "number", Minimum: "0"},
			{Type: "string", Pattern: `^\s*([0-9.]+(d|h|m|s|ms|us|ns)?\s*)+$`},
		}}
	case reflect.TypeFor[runconfig.EnvironmentRef]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Ref: "#/$defs/Environment"}}}
	case reflect.TypeFor[environment.Conda]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Ref: "#/$defs/Conda"}}}
	default:
		return nil
	}
}

func condaDependency() *jsonschema.Schema {
	properties := jsonschema.NewProperties()
	properties.Set("pip", &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}})
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string"},
		{Type: "object", Properties: properties, AdditionalProperties: jsonschema.FalseSchema, Required: []string{"pip"}},
	}}
}

// loosen allows numbers and truth values where they are taken as text.
func loosen(name string, s *jsonschema.Schema) {
	text := func() *jsonschema.Schema {
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	}
	switch {
	case name == "arguments" && s.Items != nil:
		s.Items = text()
	case s.AdditionalProperties != nil && s.AdditionalProperties.Type == "string":
		s.AdditionalProperties = text()
	case name == "version":
		s.Type, s.AnyOf = "", []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}
	}
}

const introduction = `
# The spec

A run is described in YAML or JSON; unknown fields are errors. The names are
Azure ML's, in snake_case. Any field can be set on the command line too:
` + "`" + `runner submit job.yaml --set resources.memory=4GiB` + "`" + ` (values are YAML; ` + "`" + `null` + "`" + `
unsets). ` + "`" + `runner schema` + "`" + ` prints the JSON Schema of what follows.
`

var defaultSentence = regexp.MustCompile(`\s*Default:? ([^.]+)\.`)

// reference writes every field as Markdown, one table an object.
func reference(root *jsonschema.Schema) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "<!-- Made by go generate ./runconfig from the Go types; do not edit. -->")
	fmt.Fprint(&b, introduction)
	sections := []struct{ name, title, path string }{
		{"ScriptRunConfig", "Fields", ""},
		{"Resources", "resources", "resources."},
		{"Distributed", "distributed", "distributed."},
		{"Input", "inputs.NAME", "inputs.NAME."},
		{"Outputs", "outputs", "outputs."},
		{"Output", "outputs.NAME", "outputs.NAME."},
		{"Restart", "restart", "restart."},
		{"Environment", "environment", "environment."},
		{"Python", "environment.python", "environment.python."},
		{"Conda", "environment.python.conda", "environment.python.conda."},
		{"Docker", "environment.docker", "environment.docker."},
		{"Registry", "environment.docker.registry", "environment.docker.registry."},
		{"Secret", "environment.docker.registry.password", "environment.docker.registry.password."},
	}
	for _, section := range sections {
		definition := root.Definitions[section.name]
		if definition == nil {
			panic("no definition of " + section.name)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", section.title, definition.Description)
		fmt.Fprintln(&b, "| field | type | default | meaning |\n|---|---|---|---|")
		for pair := definition.Properties.Oldest(); pair != nil; pair = pair.Next() {
			meaning := pair.Value.Description
			if meaning == "" {
				panic("no comment on " + section.path + pair.Key)
			}
			byDefault := ""
			if m := defaultSentence.FindStringSubmatch(meaning); m != nil {
				byDefault = m[1]
				meaning = strings.TrimSpace(strings.Replace(meaning, m[0], "", 1))
			}
			if slices.Contains(definition.Required, pair.Key) {
				byDefault = "(required)"
			}
			fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s |\n", section.path, pair.Key, cell(typeWords(pair.Value)), cell(byDefault), cell(meaning))
		}
	}
	return b.Bytes()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func typeWords(s *jsonschema.Schema) string {
	switch {
	case len(s.Enum) > 0:
		words := make([]string, 0, len(s.Enum))
		for _, value := range s.Enum {
			words = append(words, fmt.Sprint(value))
		}
		return strings.Join(words, ", ")
	case s.Ref != "":
		return "mapping"
	case len(s.OneOf) > 0:
		switch {
		case s.OneOf[1].Ref != "":
			return "text or mapping"
		case s.OneOf[0].Type == "integer":
			return "size (`4GiB`)"
		default:
			return "time (`2h`)"
		}
	case len(s.AnyOf) > 0:
		return "text"
	case s.Type == "array":
		return "list of text"
	case s.Type == "object":
		return "mapping by name"
	default:
		return map[string]string{"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[s.Type]
	}
}
