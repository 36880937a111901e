package runconfig_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/runnerml/runner/runconfig"
	"go.yaml.in/yaml/v4"
)

// FuzzParse: whatever the file and the assignment, Parse ends with a spec that
// can be written and read again, or with a SpecError.
func FuzzParse(f *testing.F) {
	for _, text := range goodSpecs {
		f.Add([]byte(text), "priority=1")
	}
	for _, test := range badSpecs {
		f.Add([]byte(test.text), "tags.a=b")
	}
	for _, set := range []string{"a", "=", "a[0]=[", `tags["x"]=1`, "arguments[0].x=1", "a.b.c=null", "[1]=2"} {
		f.Add([]byte("script: a.py\n"), set)
	}
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		c, err := runconfig.Parse("job.yaml", data, []string{set})
		if err != nil {
			var wrong *runconfig.SpecError
			if !errors.As(err, &wrong) || len(wrong.Problems) == 0 || c != nil {
				t.Fatalf("error %v", err)
			}
			for _, p := range wrong.Problems {
				if p.Message == "" || p.File == "" || strings.Contains(p.Message, "\n") && !strings.Contains(string(data)+set, "\n") {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := runconfig.Parse("job.yaml", text, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("not stable:\n%s\n%+v\n%+v", text, c, again)
		}
	})
}
