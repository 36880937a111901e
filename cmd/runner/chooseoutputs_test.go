package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
)

func TestChoose(t *testing.T) {
	var files []controller.OutputFile
	for _, name := range []string{"logs/std_log.txt", "outputs/a.pt", "outputs/model/a.pt", "outputs/model/deep/b.pt", "outputs/odd[1].txt"} {
		files = append(files, controller.OutputFile{Path: name})
	}
	ended, goesOn := &run.Run{ID: "r-1", State: run.Completed}, &run.Run{ID: "r-1", State: run.Running}
	for _, c := range []struct {
		name     string
		run      *run.Run
		patterns []string
		want     []string
		err      string
	}{
		{"all", ended, nil, []string{"logs/std_log.txt", "outputs/a.pt", "outputs/model/a.pt", "outputs/model/deep/b.pt", "outputs/odd[1].txt"}, ""},
		{"below outputs", ended, []string{"a.pt"}, []string{"outputs/a.pt"}, ""},
		{"from the top", ended, []string{"outputs/a.pt"}, []string{"outputs/a.pt"}, ""},
		{"a directory", ended, []string{"model/"}, []string{"outputs/model/a.pt", "outputs/model/deep/b.pt"}, ""},
		{"outputs itself", ended, []string{"outputs"}, []string{"outputs/a.pt", "outputs/model/a.pt", "outputs/model/deep/b.pt", "outputs/odd[1].txt"}, ""},
		{"one level", ended, []string{"model/*.pt"}, []string{"outputs/model/a.pt"}, ""},
		{"any depth", ended, []string{"**/*.pt"}, []string{"outputs/a.pt", "outputs/model/a.pt", "outputs/model/deep/b.pt"}, ""},
		{"two, in the order of the list", ended, []string{"model/a.pt", "logs"}, []string{"logs/std_log.txt", "outputs/model/a.pt"}, ""},
		{"a name that looks like a pattern", ended, []string{"odd[1].txt"}, []string{"outputs/odd[1].txt"}, ""},
		{"one of two is not there", ended, []string{"a.pt", "c.pt"}, nil, "r-1 left no c.pt"},
		{"not there yet", goesOn, []string{"c.pt"}, nil, "r-1 left no c.pt so far"},
		{"matches nothing", ended, []string{"*.onnx"}, nil, `nothing that r-1 left matches "*.onnx"`},
		{"not whole", ended, []string{"[a"}, nil, `the pattern "[a" is not whole`},
		{"out of it", ended, []string{"../etc"}, nil, "r-1 left no ../etc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chosen, err := choose(c.run, files, c.patterns)
			var got []string
			for _, f := range chosen {
				got = append(got, f.Path)
			}
			said := ""
			if err != nil {
				said = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" || said != c.err {
				t.Errorf("%s\nerror %q, want %q", diff, said, c.err)
			}
		})
	}
}
