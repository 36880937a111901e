package runconfig_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/runnerml/runner/runconfig"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func TestSchema(t *testing.T) {
	schema := compile(t)
	for name, text := range goodSpecs {
		if name == "a null field is an absent one" { // an editor may well point at that
			continue
		}
		t.Run("takes "+name, func(t *testing.T) {
			if err := schema.Validate(asJSON(t, text)); err != nil {
				t.Error(err)
			}
		})
	}
	for name, text := range map[string]string{
		"misspelt field":       "script: a.py\nenvironmment: x\n",
		"misspelt inside":      "script: a.py\nenvironment: {docker: {imgae: cpu}}\n",
		"script and command":   "script: a.py\ncommand: b\n",
		"nothing to run":       "experiment: x\n",
		"negative GPUs":        "script: a.py\nresources: {gpus: -1}\n",
		"wrong framework":      "script: a.py\ndistributed: {framework: torch}\n",
		"size in words":        "script: a.py\nresources: {memory: lots}\n",
		"time in words":        "script: a.py\ngrace: soon\n",
		"password in the open": "script: a.py\nenvironment: {docker: {image: x, registry: {address: a, username: u, password: p}}}\n",
		"conda without any":    "script: a.py\nenvironment: {python: {conda: {channels: [a]}}}\n",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := schema.Validate(asJSON(t, text)); err == nil {
				t.Error("the schema takes it")
			}
			if _, err := runconfig.Parse("job.yaml", []byte(text), nil); err == nil {
				t.Error("Parse takes it")
			}
		})
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(runconfig.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("spec.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("spec.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func asJSON(t *testing.T, text string) any {
	t.Helper()
	data := []byte(text)
	if !json.Valid(data) {
		var value any
		if err := yaml.Unmarshal(data, &value); err != nil {
			t.Fatal(err)
		}
		var err error
		if data, err = json.Marshal(value); err != nil {
			t.Fatal(err)
		}
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return document
}
