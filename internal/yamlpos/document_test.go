package yamlpos_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/internal/yamlpos"
)

type part struct {
	Name   string            `yaml:"name"`
	Count  int               `yaml:"count"`
	Share  float64           `yaml:"share"`
	On     bool              `yaml:"on_it"`
	List   []string          `yaml:"list"`
	Labels map[string]string `yaml:"labels"`
	Inner  *part             `yaml:"inner"`
	Parts  map[string]part   `yaml:"parts"`
	Hidden string            `yaml:"-"`
}

func TestDecode(t *testing.T) {
	text := `
name: 007
count: -3
share: 2
on_it: true
list: [1, 1.50, true, 2024-01-02, "x", ~x]
labels: {a: 1, "b c": "", d: 2024-01-02}
inner: {name: yes, inner: {count: 1}}
parts: {x: &x {count: 2, name: a}, y: {<<: *x, name: b}, z: {<<: [{count: 5}, *x]}}
`
	want := part{
		Name: "007", Count: -3, Share: 2, On: true,
		List:   []string{"1", "1.50", "true", "2024-01-02", "x", "~x"},
		Labels: map[string]string{"a": "1", "b c": "", "d": "2024-01-02"},
		Inner:  &part{Name: "yes", Inner: &part{Count: 1}},
		Parts:  map[string]part{"x": {Count: 2, Name: "a"}, "y": {Count: 2, Name: "b"}, "z": {Count: 5, Name: "a"}},
	}
	document, err := yamlpos.Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got part
	if problems := document.Decode(&got); len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	places := document.Place([]yamlpos.Problem{
		{Field: "inner.inner.count", Message: "a"},
		{Field: "list[2]", Message: "b"},
		{Field: "inner.nosuch[3].x", Message: "c"},
		{Field: "nosuch", Message: "d"},
		{Field: "labels.b c", Message: "e"},
	})
	var at []string
	for _, p := range places {
		at = append(at, p.Error())
	}
	if diff := cmp.Diff([]string{"a: x.yaml:8:35", "b: x.yaml:6:17", "c: x.yaml:8:8", "d: x.yaml:2:1", "e: x.yaml:7:23"}, at); diff != "" {
		t.Error(diff)
	}
	if !document.Has("inner.inner.count") || document.Has("inner.count") {
		t.Error("Has does not know what is written")
	}
}

func TestDecodeReports(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown fields", "nam: a\ninner: {cuont: 1}\nHidden: x\n", "unknown field \"nam\": x.yaml:1:1\nhint: did you mean \"name\"?\nunknown field \"cuont\": x.yaml:2:9\nhint: did you mean \"count\"?\nunknown field \"Hidden\": x.yaml:3:1\nhint: one of name, count, share, on_it, list, labels, inner, parts"},
		{
			"wrong types", "count: 1.5\nshare: x\non_it: yes\nlist: {a: b}\nlabels: [a]\ninner: 3\nname: [a]\n",
			"count must be a whole number, not \"1.5\": x.yaml:1:8\nshare must be a number, not \"x\": x.yaml:2:8\non_it must be true or false, not \"yes\": x.yaml:3:8\n" +
				"list must be a list, not a mapping: x.yaml:4:7\nhint: write [...]\nlabels must be a mapping of names to values, not a list: x.yaml:5:9\ninner must be a mapping, not text: x.yaml:6:8\nname must be text, not a list: x.yaml:7:7",
		},
		{"too large", "count: 99999999999999999999\n", "count must be a whole number, not \"99999999999999999999\": x.yaml:1:8"},
		{"keys", "labels: {a: 1, a: 2, [x]: 3, ~: 4}\n", "\"a\" is given twice: x.yaml:1:16\na name is expected here: x.yaml:1:22\na name is expected here: x.yaml:1:30"},
		{"JSON places", "{\n\t\"name\": \"é\", \"nam\":\n  1}", "unknown field \"nam\": x.yaml:2:15\nhint: did you mean \"name\"?"},
		{"merge of a text", "inner: {<<: x}\n", "<< takes a mapping or a list of mappings: x.yaml:1:13"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			document, err := yamlpos.Parse("x.yaml", []byte(test.text))
			if err == nil {
				err = yamlpos.ErrorOf(document.Decode(&part{}))
			}
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	valid := []string{"compute_target", "environment", "environment_variables", "memory"}
	for name, want := range map[string]string{
		"computeTarget": "compute_target", "Compute-Target": "compute_target", "memroy": "memory", "env": "", "zzz": "",
		"environment_vars": "environment_variables", "": "",
	} {
		if got := yamlpos.Nearest(name, valid); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
