package runconfig_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/runconfig"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

const setBase = `
script: train.py
tags: {a: "1", b.c: "2"}
arguments: [x, y]
environment: {docker: {image: cpu}}
priority: 3
`

func TestSet(t *testing.T) {
	tests := []struct {
		name string
		sets []string
		got  func(*runconfig.ScriptRunConfig) any
		want any
	}{
		{"a number", []string{"priority=7"}, func(c *runconfig.ScriptRunConfig) any { return c.Priority }, 7},
		{"the last one wins", []string{"priority=7", "priority=8"}, func(c *runconfig.ScriptRunConfig) any { return c.Priority }, 8},
		{"null unsets", []string{"priority=null"}, func(c *runconfig.ScriptRunConfig) any { return c.Priority }, 0},
		{"null of what is not there", []string{"restart.failed=null"}, func(c *runconfig.ScriptRunConfig) any { return c.Restart.Failed }, (*int)(nil)},
		{"inside what is not there", []string{"resources.memory=4GiB"}, func(c *runconfig.ScriptRunConfig) any { return c.Resources.Memory }, runconfig.Bytes(4 << 30)},
		{"a tag", []string{"tags.team=vision"}, func(c *runconfig.ScriptRunConfig) any { return c.Tags }, map[string]string{"a": "1", "b.c": "2", "team": "vision"}},
		{"a name with dots", []string{`tags["b.c"]=3=4`}, func(c *runconfig.ScriptRunConfig) any { return c.Tags }, map[string]string{"a": "1", "b.c": "3=4"}},
		{"one argument", []string{"arguments[1]=z"}, func(c *runconfig.ScriptRunConfig) any { return c.Arguments }, []string{"x", "z"}},
		{"one more argument", []string{"arguments[2]=z"}, func(c *runconfig.ScriptRunConfig) any { return c.Arguments }, []string{"x", "y", "z"}},
		{"one argument fewer", []string{"arguments[0]=null"}, func(c *runconfig.ScriptRunConfig) any { return c.Arguments }, []string{"y"}},
		{"all arguments", []string{"arguments=[--a, 1]"}, func(c *runconfig.ScriptRunConfig) any { return c.Arguments }, []string{"--a", "1"}},
		{"an empty text", []string{"tags.a="}, func(c *runconfig.ScriptRunConfig) any { return c.Tags["a"] }, ""},
		{"a text with a colon", []string{`tags.a="b: c"`}, func(c *runconfig.ScriptRunConfig) any { return c.Tags["a"] }, "b: c"},
		{"a hash", []string{"tags.a=#1"}, func(c *runconfig.ScriptRunConfig) any { return c.Tags["a"] }, "#1"},
		{"a version stays as written", []string{"environment.docker=null", "environment.python.version=3.10"}, func(c *runconfig.ScriptRunConfig) any { return c.Environment.Spec.Python.Version }, "3.10"},
		{"the image", []string{"environment.docker.image=gpu"}, func(c *runconfig.ScriptRunConfig) any { return c.Environment.Spec.Docker.Image }, "gpu"},
		{"a mapping becomes a name", []string{"environment=sklearn"}, func(c *runconfig.ScriptRunConfig) any { return c.Environment.Name }, "sklearn"},
		{"a whole mapping", []string{"resources={cpus: 2, gpus: 1}"}, func(c *runconfig.ScriptRunConfig) any { return c.Resources.GPUs }, 1},
		{"script for command", []string{"script=null", "command=echo hi"}, func(c *runconfig.ScriptRunConfig) any { return c.Command }, "echo hi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := runconfig.Parse("job.yaml", []byte(setBase), test.sets)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.got(c); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
		})
	}
}

// Any text arrives unchanged: as JSON in an assignment, in what Load gives, and
// in that as a spec again.
func TestSetKeepsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.StringOf(rapid.OneOf(
			rapid.Rune(), rapid.SampledFrom([]rune("\x7f\u0080\u0085\u2028\u2029\ufeff\ufffe\x01\t\r\n \"'\\:#-~&*!|>%@`{}[],?<=é😀")),
		)), 1, 3).Filter(func(list []string) bool { return !strings.Contains(strings.Join(list, ""), "\x00") }).Draw(t, "arguments")
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		c, err := runconfig.Parse("job.yaml", []byte("script: a.py\n"), []string{"arguments=" + string(data)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Arguments); diff != "" {
			t.Fatal(diff)
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := runconfig.Parse("job.yaml", text, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, again.Arguments); diff != "" {
			t.Fatalf("%s\n%s", diff, text)
		}
	})
}

func TestSetRefuses(t *testing.T) {
	tests := []struct{ set, want string }{
		{"priority", "an assignment has the form key=value: --set priority\nhint: for example --set resources.memory=4GiB"},
		{"=3", "an assignment has the form key=value: --set =3\nhint: for example --set resources.memory=4GiB"},
		{"resources.memroy=4GiB", "unknown field \"memroy\": --set resources.memroy=...\nhint: did you mean \"memory\"?"},
		{"resuorces.memory=4GiB", "unknown field \"resuorces\": --set resuorces.memory=...\nhint: did you mean \"resources\"?"},
		{"resources.memory=lots", "resources.memory: \"lots\" is no size: write for example 4GiB, 500MB or 1073741824: --set resources.memory=..."},
		{"resources.nodes=0", "resources.nodes must be between 1 and 10000, not 0: --set resources.nodes=..."},
		{"arguments[9]=x", "[9] is past the end of a list of 2: --set arguments[9]=..."},
		{"arguments[x]=x", "\"x\" is no index: --set arguments[x]=...\nhint: for example --set arguments[0]=x or --set tags.team=vision"},
		{"arguments.x=x", "\"x\" is put inside something that is no mapping: --set arguments.x=..."},
		{"script[0]=x", "[0] is put on something that is no list: --set script[0]=..."},
		{"tags..a=x", "\"tags..a\" has an empty name: --set tags..a=...\nhint: for example --set arguments[0]=x or --set tags.team=vision"},
		{"tags.a=[", "not valid YAML: did not find expected node content: --set tags.a=...\nhint: quote the value: tags.a='\"...\"'"},
		{"script=null", "neither script nor command is given: job.yaml:2:1\nhint: give script: train.py, or command: ..."},
		{"environment.docker.registry.password=hunter2", "environment.docker.registry.password must be a mapping, not text: --set environment.docker.registry.password=...\na registry has no address: --set environment.docker.registry.password=...\nhint: for example registry.example.com"},
	}
	for _, test := range tests {
		t.Run(test.set, func(t *testing.T) {
			_, err := runconfig.Parse("job.yaml", []byte(setBase), []string{test.set})
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
